"""Numbers written with separators.

Knows which characters only separate. Does not know what a number means.
"""

_SEPARATORS = str.maketrans("", "", " .-_/,|+")


def compact(value: str) -> str:
    """`value` without the characters that only group its digits."""
    return value.translate(_SEPARATORS)
