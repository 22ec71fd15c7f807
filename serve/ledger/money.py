"""Integer micro-dollars inside, US dollars with six decimals where people read or write it."""

from decimal import Decimal, InvalidOperation

MICRO = 1_000_000
MOST_USD = 1_000_000_000
"""More than anybody's budget; what is larger is a mistake, and sums of it still fit a 64-bit column."""


def micro(usd: float | Decimal) -> int:
    """US dollars as micro-dollars, rounded to the nearest."""
    return round(Decimal(str(usd)) * MICRO)


def parse(text: str) -> int:
    """Plain decimal US dollars, such as `0.05`, as micro-dollars rounded down. Raises ValueError."""
    try:
        value = Decimal(text.strip()) if text.isascii() and len(text) <= 32 else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite() or not 0 <= value <= MOST_USD:
        raise ValueError("not an amount of US dollars")
    return int(value * MICRO)


def usd(amount: int) -> str:
    """Micro-dollars as US dollars with six decimals: `0.001234`."""
    sign, amount = "-" if amount < 0 else "", abs(amount)
    return f"{sign}{amount // MICRO}.{amount % MICRO:06d}"
