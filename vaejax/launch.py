"""Several processes of one program on this machine: `python -m vaejax.launch --processes 2 train.py ...`.

Each process runs the program (a script, or `-m module`) under `jax.distributed`, with the gloo
collectives on CPUs; the data that each gives to `vaejax.fit` are its share of the rows. On several
machines call `jax.distributed.initialize` yourself: `vaejax.fit` needs no more.
"""

import argparse
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from typing import NoReturn

__all__ = ["main"]

_GRACE = 30.0  # seconds that the others have to end by themselves


def main(arguments: list[str] | None = None) -> int:
    """Start the processes, wait for them, and return the first exit code that is not 0."""
    parser = argparse.ArgumentParser(prog="python -m vaejax.launch", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, required=True, metavar="N", help="how many, at least 1")
    parser.add_argument("--place", help=argparse.SUPPRESS)  # of a process that was started here: its number @ port
    rest = argparse.REMAINDER
    parser.add_argument("-m", dest="module", nargs=rest, default=[], help="a module, and its arguments")
    parser.add_argument("script", nargs=rest, help="or a script, and its arguments")
    options = parser.parse_args(arguments)
    program = ["-m", *options.module] if options.module else options.script
    if options.processes < 1 or not program:
        parser.error("expected --processes N, at least 1, and a script or -m MODULE")
    if options.place is not None:
        _run(options.processes, options.place, program)
        return 0
    return _watch(options.processes, program)


def _run(processes: int, place: str, program: list[str]) -> None:
    import jax

    number, port = place.split("@")
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", processes, int(number), heartbeat_timeout_seconds=10)
    try:
        if program[0] == "-m":
            sys.argv = program[1:]
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = program
            runpy.run_path(program[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            _end(ended.code)
    except BaseException:
        traceback.print_exc()
        _end(1)


def _end_with(launcher: int) -> None:
    """End this process, which saves first, when its launcher is gone."""
    while os.getppid() == launcher:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def _end(code: int | str) -> NoReturn:
    """End at once: leaving as usual would wait for processes that may be gone."""
    if not isinstance(code, int):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _watch(processes: int, program: list[str]) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    same = [sys.executable, "-m", "vaejax.launch", "--processes", str(processes)]
    running = [subprocess.Popen([*same, "--place", f"{i}@{port}", *program]) for i in range(processes)]
    signal.signal(signal.SIGTERM, lambda number, frame: _forward(running))
    try:
        failed, since = 0, None
        while True:
            codes = [child.poll() for child in running]
            failed = failed or next((code for code in codes if code), 0)
            if failed and since is None:
                since = time.monotonic()
                ended = [f"{i} (exit code {code})" for i, code in enumerate(codes) if code]
                waits = "; waiting for the others" if None in codes else ""
                print(f"vaejax.launch: process {', '.join(ended)} ended{waits}", file=sys.stderr)
            if None not in codes or (since is not None and time.monotonic() - since > _GRACE):
                break
            time.sleep(0.1)
    except KeyboardInterrupt:  # the terminal has sent it to the children too: they save and end
        for child in running:
            child.wait()
        return 130
    finally:
        for child in running:
            if child.poll() is None:
                child.kill()
            child.wait()
    return failed if failed > 0 else 128 - failed if failed else 0


def _forward(running: list[subprocess.Popen[bytes]]) -> NoReturn:
    """Pass a signal to end on to the processes, which save first."""
    for child in running:
        child.terminate()
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
