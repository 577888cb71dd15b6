import os

os.environ.setdefault("MPLBACKEND", "Agg")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Float64 inside an oracle test, and nowhere else."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def mnist():
    """The real MNIST, where `VAEJAX_DATA` points to it."""
    from vaejax import data

    if not os.environ.get("VAEJAX_DATA"):
        pytest.skip("MNIST is not here: set VAEJAX_DATA to the folder of its IDX files")
    return data.mnist()
