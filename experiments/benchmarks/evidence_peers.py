"""Times log p(x) in PyTorch and pythae: `python evidence_peers.py WEIGHTS.npz K`, in the environment of the peers.

WEIGHTS.npz holds `x` (N, 784), zeros and ones, and the layers of both networks, `encoder/0/kernel` and so on. The
last line that is written: `{contender: [seconds, mean of log p(x)]}`.
"""

import json
import logging
import math
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F

CHUNK = 1024  # draws of an image at once: the fastest of 256 to 2048 for PyTorch
AT_ONCE = 1000  # of pythae, whose default of 100 is slower, and which drops what does not fill a batch


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
            parts.append(log_p + logits @ row - F.softplus(logits).sum(1))
        values.append(torch.logsumexp(torch.cat(parts), 0) - math.log(k))
    return torch.stack(values).mean()


def pythae(encoder, decoder):
    """Pythae's VAE around the same networks: its `get_nll`, with the sign turned."""
    logging.disable(logging.INFO)
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def forward(self, x):
            mean, raw = encoder(x).chunk(2, dim=-1)
            return ModelOutput(embedding=mean, log_covariance=2 * F.softplus(raw + math.log(math.e - 1)).log())

    class Decoder(BaseDecoder):
        def forward(self, z):
            return ModelOutput(reconstruction=torch.sigmoid(decoder(z)))

    settings = VAEConfig(input_dim=(784,), latent_dim=20, reconstruction_loss="bce")
    model = VAE(settings, encoder=Encoder(), decoder=Decoder())
    return torch.inference_mode()(lambda x, k: model.get_nll(x, n_samples=k, batch_size=min(k, AT_ONCE)))


def main():
    with np.load(sys.argv[1]) as file:
        arrays = dict(file)
    k, x = int(sys.argv[2]), torch.from_numpy(arrays["x"])
    encoder, decoder = network(arrays, "encoder"), network(arrays, "decoder")
    contenders = {f"PyTorch {torch.__version__}": lambda x: estimate(encoder, decoder, x, k)}
    try:
        get_nll = pythae(encoder, decoder)
        contenders["pythae get_nll"] = lambda x: get_nll(x, k)
    except ImportError:
        pass
    told = {}
    for name, contender in contenders.items():
        contender(x[:2])
        start = time.perf_counter()
        value = float(contender(x))
        told[name] = [time.perf_counter() - start, value]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
