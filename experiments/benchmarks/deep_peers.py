"""Times PyTorch eager on one epoch of a convolutional VAE: the protocol and the training loop of `vae_peers.py`."""

import vae_peers
from torch import nn

LATENT = 32


class ConvVAE(vae_peers.VAE):
    """The networks of `deep.py`'s CONVOLUTIONAL, layer by layer; GroupNorm(1, C) is its normalisation of one datum."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        down = lambda a, b: (nn.Conv2d(a, b, 4, 2, 1), nn.GroupNorm(1, b), nn.SiLU())  # noqa: E731
        up = lambda a, b: (nn.GroupNorm(1, a), nn.SiLU(), nn.Conv2d(a, 4 * b, 3, padding=1), nn.PixelShuffle(2))  # noqa: E731
        features = nn.Unflatten(1, (1, 28, 28)), *down(1, 32), *down(32, 64), nn.Flatten(), nn.Linear(3136, 256)
        self.encoder = nn.Sequential(*features, nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2 * LATENT))
        dense = nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, 3136), nn.Unflatten(1, (64, 7, 7))
        self.decoder = nn.Sequential(*dense, *up(64, 32), *up(32, 1), nn.Flatten())


if __name__ == "__main__":
    vae_peers.VAE, vae_peers.LATENT = ConvVAE, LATENT
    vae_peers.CONTENDERS = {"pytorch": vae_peers.pytorch}
    vae_peers.main()
