"""Times log p(x) in PyTorch: `python evidence_peers.py WEIGHTS.npz K ROUNDS`, in the environment of the peers.

WEIGHTS.npz holds `x` (N, 784), zeros and ones, and the layers of both networks, `encoder/0/kernel` and so on. The
line that is written: `{"torch": version, "seconds": [...], "values": [...]}`.
"""

import json
import math
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F

CHUNK = 2048  # draws of an image at once


def network(arrays, name):
    layers = []
    while f"{name}/{len(layers)}/kernel" in arrays:
        i = len(layers)
        pair = arrays[f"{name}/{i}/kernel"].T.copy(), arrays[f"{name}/{i}/bias"]
        layers.append(tuple(map(torch.from_numpy, pair)))

    def apply(h):
        for i, (weight, bias) in enumerate(layers):
            h = F.linear(F.relu(h) if i else h, weight, bias)
        return h

    return apply


@torch.inference_mode()
def estimate(encoder, decoder, x, k):
    """log p(x) of each row, the draws in chunks: what a good loop in PyTorch does."""
    values = []
    for row in x:
        mean, raw = encoder(row).chunk(2)
        scale, parts = F.softplus(raw + math.log(math.e - 1)), []
        for first in range(0, k, CHUNK):
            noise = torch.randn(min(CHUNK, k - first), len(mean))
            z = mean + scale * noise
            log_p = -0.5 * z.square().sum(1) + 0.5 * noise.square().sum(1) + scale.log().sum()
            logits = decoder(z)
            parts.append(log_p + (logits * row - F.softplus(logits)).sum(1))
        values.append(torch.logsumexp(torch.cat(parts), 0) - math.log(k))
    return torch.stack(values)


def main():
    with np.load(sys.argv[1]) as file:
        arrays = dict(file)
    k, rounds = int(sys.argv[2]), int(sys.argv[3])
    encoder, decoder = network(arrays, "encoder"), network(arrays, "decoder")
    x, seconds, values = torch.from_numpy(arrays["x"]), [], []
    estimate(encoder, decoder, x[:2], k)
    for _ in range(rounds):
        start = time.perf_counter()
        values = estimate(encoder, decoder, x, k).tolist()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"torch": torch.__version__, "seconds": seconds, "values": values}))


if __name__ == "__main__":
    main()
