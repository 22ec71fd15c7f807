"""Tracking as the router sees it, and the one that is switched off. Imports no database."""

from typing import Protocol

from serve.trail import Ended


class Tracking(Protocol):
    """Takes decisions that are over."""

    def ended(self, ended: Ended) -> None:
        """Write it down soon; never waits, never raises."""
        ...

    def status(self) -> dict[str, str | int | None]:
        """`state` (`up`, `idle`, `down`, `off`), `note`, and how many rows were `lost`."""
        ...

    def close(self) -> None:
        """Write what waits, within a bounded time, and let go of the database. Blocks."""
        ...


class NoTracking:
    """Nothing is kept."""

    def ended(self, ended: Ended) -> None:
        """Forget it."""

    def status(self) -> dict[str, str | int | None]:
        """Off."""
        return {"state": "off", "note": None, "lost": 0}

    def close(self) -> None:
        """Nothing waits."""
