"""A refusal in one line."""

import re

import pytest


def refused(words, call, *args, error=ValueError, **options):
    """The call raises this error with these words, where «...» stands for any."""
    with pytest.raises(error, match=re.escape(words).replace(r"\.\.\.", ".*")):
        call(*args, **options)
