"""How far back: `90m`, `24h`, `7d`, `4w`."""

import re

DEFAULT = "7d"
WORDS = "a number of minutes, hours, days or weeks such as 90m, 24h, 7d or 4w"
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"([1-9][0-9]{0,4})([mhdw])")


def seconds(text: str) -> int:
    """Raises ValueError for anything else."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(WORDS)
    return int(found[1]) * _UNITS[found[2]]
