"""Times PyTorch on the flow of `flows.py`, inside the peers' own environment: `python flows_peers.py DATA.npz`.

DATA.npz holds the encoder's output and the weights by their paths. Each line read from stdin is a number of
calls, answered by one line `{"seconds": [...], "values": [...]}`, until stdin ends.
"""

import json
import math
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F


def mask(inputs: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    return (inputs[:, None] <= outputs[None]).float()


def main() -> None:
    data = {name: torch.from_numpy(array) for name, array in np.load(sys.argv[1]).items()}
    output = data.pop("output").requires_grad_()
    weights = {name: tensor.requires_grad_() for name, tensor in data.items()}
    depth = len({name.split("/")[0] for name in weights})
    batch, hidden = len(output), weights["step0/layer0/kernel"].shape[1]
    latent = weights["step0/layer1/bias"].shape[0] // 2
    context = output.shape[1] - 2 * latent
    degrees = torch.cat([torch.arange(1, latent + 1), torch.zeros(context, dtype=torch.long)])
    units, targets = torch.arange(hidden) * latent // hidden, torch.arange(latent).repeat(2)
    masks = {"layer0": mask(degrees, units), "layer1": mask(units, targets), "direct": mask(degrees, targets)}

    def divergence() -> torch.Tensor:
        loc, raw, h = output.split([latent, latent, context], 1)
        scale = torch.sqrt(F.softplus(raw + math.log(math.e - 1)) ** 2 + 1e-12)
        noise = torch.randn(batch, latent)
        z = loc + scale * noise
        log_q = -(noise**2 / 2 + scale.log() + math.log(2 * math.pi) / 2).sum(1)
        for t in range(depth):
            z = z.flip(1) if t else z
            live = {name: weights[f"step{t}/{name}/kernel"] * each for name, each in masks.items()}
            both = torch.cat([z, h], 1)
            inner = F.elu(torch.addmm(weights[f"step{t}/layer0/bias"], both, live["layer0"]))
            out = torch.addmm(weights[f"step{t}/layer1/bias"], inner, live["layer1"]) + both @ live["direct"]
            shift, gate = out[:, :latent], out[:, latent:] + 1.5
            z = torch.sigmoid(gate) * z + torch.sigmoid(-gate) * shift
            log_q = log_q - F.logsigmoid(gate).sum(1)
        return (log_q + (z**2 / 2 + math.log(2 * math.pi) / 2).sum(1)).mean()

    leaves = [output, *weights.values()]
    for line in sys.stdin:
        seconds, values = [], []
        for _ in range(int(line)):
            start = time.perf_counter()
            value = divergence()
            torch.autograd.grad(value, leaves)
            seconds.append(time.perf_counter() - start)
            values.append(value.item())
        print(json.dumps({"seconds": seconds, "values": values}), flush=True)


if __name__ == "__main__":
    main()
