"""How many cases the long loops run: few on every machine, many where `POINTSMAN_NIGHTLY=1` is set."""

import os

NIGHTLY = os.environ.get("POINTSMAN_NIGHTLY") == "1"


def cases(usual: int, nightly: int) -> int:
    """The number for this run."""
    return nightly if NIGHTLY else usual
