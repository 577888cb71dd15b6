"""`python -m vaejax` is the command `vaejax`."""

import os
import sys
from typing import NoReturn


def console() -> NoReturn:
    """Run the command of this process, and end it."""
    try:
        from vaejax.cli import main

        code = main()
    except KeyboardInterrupt:  # while modules were imported
        code = 130
    if code == 130:  # a program that is still running on the device would call into an interpreter that is gone
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    console()
