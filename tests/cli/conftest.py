"""Runs and tables that the tests of the command line share."""

import numpy as np
import pytest

from tests.cli.common import SMALL, fitted


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    return fitted("sigma-vae", tmp_path_factory.mktemp("runs") / "sigma", *SMALL)


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)) * [1.0, 100.0, 0.1] + [0.0, 5000.0, 1.0]
    path = tmp_path_factory.mktemp("data") / "table.csv"
    path.write_text("a,b,c,kind\n" + "".join(f"{a},{b},{c},{'uv'[i % 2]}\n" for i, (a, b, c) in enumerate(x)))
    return path
