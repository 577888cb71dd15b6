"""The command line: `vaejax list | fit | evaluate | sample | report | export`, also as `python -m vaejax`."""

from vaejax.cli.main import main as main
