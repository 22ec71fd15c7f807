"""When a sweep is open: for the first hours of each day or week of UTC."""

from datetime import UTC, datetime

from serve.sweeps.config import SweepsConfig


def running(config: SweepsConfig, now: float) -> str | None:
    """The name of the sweep that is open at `now` (Unix seconds), `2026-11-21` or `2026-W47`; None: none is."""
    if not config.enabled:
        return None
    at = datetime.fromtimestamp(now, UTC)
    days = at.weekday() if config.every == "week" else 0
    hours = days * 24 + at.hour + at.minute / 60 + at.second / 3600
    if hours >= config.open_hours:
        return None
    return at.strftime("%G-W%V" if config.every == "week" else "%Y-%m-%d")
