"""Runs that are stopped again and again."""

import pytest

from vaejax.train import loop


class Stop(Exception):
    """End of a run in the middle of an epoch."""


@pytest.fixture(scope="module")
def short_scans():
    """Two steps a scan, then one of a single step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_scan_length", lambda *_: 2)
        yield


@pytest.fixture
def insist(monkeypatch):
    """A function that starts a run until it ends, though every fifth scan stops it; its result and number of scans."""

    def insist(fit):
        real, calls = loop.run_steps, []

        def interrupted(*args, **kwargs):
            calls.append(1)
            if len(calls) % 5 == 0:
                raise Stop
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "run_steps", interrupted)
            for _ in range(20):
                try:
                    return fit(), len(calls)
                except Stop:
                    continue
        raise AssertionError("the run does not go on")

    return insist
