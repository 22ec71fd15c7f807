"""Tracking of one router process: what is over becomes a row, and a prompt that comes again marks the one before."""

import logging

from serve.config import Config
from serve.learning.chosen import chosen
from serve.outcomes.port import NoTracking, Tracking
from serve.outcomes.repeats import Repeats
from serve.outcomes.row import Repeated
from serve.outcomes.sheet import tracked
from serve.outcomes.writer import Writer
from serve.trail import Ended

log = logging.getLogger("pointsman.outcomes")


class Tracker:
    """A Tracking with a database behind it; `url` None is the default one."""

    def __init__(self, config: Config, url: str | None) -> None:
        self.writer = Writer(url, config.outcomes)
        self._repeats = Repeats(config.outcomes.retry_within_s)

    def ended(self, ended: Ended) -> None:
        """Write it down soon."""
        try:
            at = int(self.writer.clock() * 1000)
            self.writer.submit(tracked(ended, at))
            if (choice := chosen(ended, at)) is not None:
                self.writer.submit(choice)
            self._mark_repeated(ended)
        except Exception as error:  # a statistic must not stop an answer
            log.error("a decision could not be tracked: %s", type(error).__name__)

    def status(self) -> dict[str, str | int | None]:
        """How it stands, for /readyz."""
        return {"state": self.writer.state, "note": self.writer.fault, "lost": self.writer.lost}

    def close(self) -> None:
        """Write what waits and let go of the database. Blocks."""
        self.writer.close()

    def _mark_repeated(self, ended: Ended) -> None:
        decided = ended.decided
        before = self._repeats.of(decided.visit.key.id, decided.view.conversation, decided.decision_id)
        if before is not None:
            self.writer.submit(Repeated(before))


def open_tracking(config: Config) -> Tracking:
    """The tracking that `config` asks for. A database that cannot be reached shows in `status`, not here."""
    return Tracker(config, config.state.resolve()) if config.outcomes.enabled else NoTracking()
