"""Times PyTorch and pythae on one epoch of a VAE: `python vae_peers.py DATA.npz`, inside the peers' own environment.

DATA.npz holds `x`, uint8 images of shape (n, 784). The first line written to stdout is
`{"contenders": [...], "torch": version, "device": name}`. Each line then read from stdin is a JSON list
`["prepare" | "epoch" | "sample", contender]`, answered by one line `{"seconds": ..., "value": ...}` or
`{"error": ...}`, until stdin ends. The value of "epoch" is the mean loss (negative ELBO, nats per image), that of
"sample" the mean pixel, and that of "prepare" the number of warm-up steps. Those steps are undone: the first epoch
starts from fresh parameters.
"""

import copy
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

PIXELS, HIDDEN, LATENT = 784, 512, 20
BATCH, RATE, SAMPLES, WARM_UP = 128, 1e-3, 10_000, 10
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Contender(NamedTuple):
    """A model that is ready to be timed: one epoch gives its mean loss, one draw gives SAMPLES binary images."""

    epoch: Callable[[], Tensor | float]
    sample: Callable[[], Tensor]


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    """Two hidden ReLU layers and a linear one: the encoder, and the decoder, of every contender."""
    hidden = [nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(HIDDEN, outputs))


class VAE(nn.Module):
    """The model of the PyTorch contenders."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(PIXELS, 2 * LATENT), mlp(LATENT, PIXELS)

    def loss(self, x: Tensor) -> Tensor:
        """Negative ELBO per image of grey images `x`, which are binarised afresh at each call."""
        target = (torch.rand(x.shape, device=x.device) < x / 255).float()
        mean, log_variance = self.encoder(target).chunk(2, dim=-1)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        misfit = F.binary_cross_entropy_with_logits(self.decoder(z), target, reduction="sum")
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
        return (misfit + kl) / len(x)

    def draw(self) -> Tensor:
        """Binary images from the prior."""
        pixels = torch.sigmoid(self.decoder(torch.randn(SAMPLES, LATENT, device=DEVICE)))
        return torch.rand_like(pixels) < pixels


def pytorch(images: np.ndarray, fused: bool | None = None, compiled: bool = False) -> Contender:
    """A training loop by hand: the data preloaded on the device, no DataLoader, and no `.item()` on the way."""
    x = torch.from_numpy(images).to(DEVICE)
    model = VAE().to(DEVICE)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=fused)
    loss, draw = model.loss, model.draw
    if compiled:  # "reduce-overhead" adds CUDA graphs, which take most of a GPU's time off so small a model
        mode = "reduce-overhead" if DEVICE.type == "cuda" else "default"
        loss, draw = torch.compile(loss, mode=mode), torch.compile(draw, mode=mode)

    def train(steps: int) -> Tensor:
        rows = torch.randperm(len(x), device=DEVICE)[: steps * BATCH]
        total = torch.zeros((), device=DEVICE)
        for batch in x[rows].view(steps, BATCH, PIXELS):
            optimizer.zero_grad()
            value = loss(batch)
            value.backward()
            optimizer.step()
            total += value.detach()
        return total / steps

    fresh = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    train(WARM_UP)
    for _ in range(3):  # CUDA graphs are recorded at the second call, and first replayed at the third
        torch.no_grad()(draw)()
    model.load_state_dict(fresh[0])
    optimizer.load_state_dict(fresh[1])
    return Contender(partial(train, len(x) // BATCH), torch.no_grad()(draw))


def pythae(images: np.ndarray) -> Contender:
    """Pythae's VAE under its BaseTrainer and its data loader; the networks and the optimiser as above.

    It differs from the others in three ways, all of them how pythae works. It does not binarise: grey images are its
    inputs and its targets (where the cross-entropy is the mean of that of binarised targets, so the losses are alike).
    Its decoder gives probabilities, not logits. It reads the loss at each step. `train_step`, its name for one epoch,
    is what BaseTrainer.train calls; the rest of that is checkpoints and logs.
    """
    logging.disable(logging.INFO)
    from pythae.data.preprocessors import DataProcessor
    from pythae.models import VAE as PythaeVAE
    from pythae.models import VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.samplers import NormalSampler
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = mlp(PIXELS, 2 * LATENT)

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_variance = self.layers(x).chunk(2, dim=-1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(mlp(LATENT, PIXELS), nn.Sigmoid())

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z))

    settings = VAEConfig(input_dim=(PIXELS,), latent_dim=LATENT, reconstruction_loss="bce")
    model = PythaeVAE(settings, encoder=Encoder(), decoder=Decoder())

    def trainer(steps: int) -> BaseTrainer:
        x = torch.from_numpy(images[: steps * BATCH]) / 255  # its loader drops no incomplete batch, so leave none
        config = BaseTrainerConfig(per_device_train_batch_size=BATCH, learning_rate=RATE)
        made = BaseTrainer(model, DataProcessor.to_dataset(x), training_config=config)
        # What BaseTrainer.prepare_training does, without its output folder, its seed and its progress bar.
        made.set_optimizer()
        made.set_scheduler()
        made.callback_handler = CallbackHandler([TrainingCallback()], model)
        return made

    @torch.no_grad()
    def draw() -> Tensor:
        pixels = NormalSampler(model).sample(SAMPLES, batch_size=SAMPLES)
        return torch.rand_like(pixels) < pixels

    fresh = copy.deepcopy(model.state_dict())
    trainer(WARM_UP).train_step(epoch=1)
    draw()
    model.load_state_dict(fresh)
    return Contender(partial(trainer(len(images) // BATCH).train_step, epoch=1), draw)


CONTENDERS: dict[str, Callable[[np.ndarray], Contender]] = {
    "pytorch": pytorch,
    "pytorch fused": partial(pytorch, fused=True),
    "torch.compile": partial(pytorch, fused=True, compiled=True),
    "pythae": pythae,
}


def timed(function: Callable[..., Any], *args: object) -> tuple[float, Any]:
    """The wall seconds of a call, the device's work included, and what it returned."""
    wait = torch.cuda.synchronize if DEVICE.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    result = function(*args)
    wait()
    return time.perf_counter() - start, result


def answer(line: str, images: np.ndarray, ready: dict[str, Contender]) -> dict[str, float]:
    """Does what one line asks; a contender, once prepared, is kept in `ready`."""
    command, name = json.loads(line)
    if command not in ("prepare", "epoch", "sample") or name not in CONTENDERS:
        raise ValueError(f"cannot {command!r} {name!r}")
    if command == "prepare":
        ready.pop(name, None)
        torch.manual_seed(0)
        seconds, ready[name] = timed(CONTENDERS[name], images)
        return {"seconds": seconds, "value": float(WARM_UP)}
    if name not in ready:
        raise ValueError(f"{name!r} is not prepared")
    if command == "epoch":
        seconds, loss = timed(ready[name].epoch)
        return {"seconds": seconds, "value": float(loss)}
    seconds, samples = timed(ready[name].sample)
    return {"seconds": seconds, "value": samples.float().mean().item()}


def main() -> None:
    """Answers the lines of stdin."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes to stderr: stdout is for the answers alone
    with np.load(sys.argv[1], allow_pickle=False) as saved:
        images = saved["x"]
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != PIXELS or len(images) < WARM_UP * BATCH:
        sys.exit(f"x must be uint8 of shape (at least {WARM_UP * BATCH}, {PIXELS}), not {images.dtype} {images.shape}")
    device = "cpu"
    if DEVICE.type == "cuda":
        device = torch.cuda.get_device_name()
        torch.set_float32_matmul_precision("high")  # TF32, which JAX uses on a GPU unless told otherwise
    send = partial(print, file=replies, flush=True)
    send(json.dumps({"contenders": list(CONTENDERS), "torch": torch.__version__, "device": device}))
    ready: dict[str, Contender] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        os.environ["TMPDIR"] = tempfile.tempdir = cache  # torch.compile starts without a cache, and leaves none
        for line in sys.stdin:
            try:
                reply = json.dumps(answer(line, images, ready), allow_nan=False)
            except Exception as problem:  # one contender's failure is told, and the others still run
                reply = json.dumps({"error": f"{type(problem).__name__}: {problem}"[:500]})
            send(reply)


if __name__ == "__main__":
    main()
