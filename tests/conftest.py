import gc
import os
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
# Compilation is most of the suite's time; the programs are tiny and need no optimisation.
# Fusing through MLIR takes half of it; jaxlib 0.11.1 has lost that flag, and ends a process that sets it.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1"
    + (" --xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith(("0.10.", "0.11.0")) else ""),
)

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption(
        "--compilations", type=int, nargs="?", const=30, metavar="N", help="print programs compiled, the N longest"
    )


def pytest_configure(config):
    if config.getoption("--compilations"):
        from tests.compilations import Compilations

        config.pluginmanager.register(Compilations(config.getoption("--compilations")))


def pytest_collection_finish(session):
    """Tracing makes millions of small objects that live on; Python looks through them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 1000)


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


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs():
    """Each program has memory and memory maps of its own: thousands of them in one process reach a limit."""
    yield
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        crowded = resident > 2**31 or Path("/proc/self/maps").read_text().count("\n") > 30_000  # Linux allows 65 530
    except OSError:
        crowded = True  # no Linux
    if crowded:
        jax.clear_caches()
