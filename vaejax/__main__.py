"""`python -m vaejax` is the command `vaejax`."""

import sys

from vaejax.cli import main

sys.exit(main())
