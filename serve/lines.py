"""Pointsman's own log lines in a replica: they go where Serve writes its lines, in the same form.

Serve writes a file for each replica from the logger `ray.serve` alone; what other loggers say is lost.
"""

import logging
from logging.handlers import MemoryHandler

SERVES = "ray.serve"
OURS = "pointsman"


class ToServe(logging.Handler):
    """Hands every line to Serve's logger as it is configured at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; its own fields, like `decision_id`, stay fields."""
        logging.getLogger(SERVES).handle(record)


def join() -> None:
    """Write Pointsman's lines from now on, once each, where Serve writes a file in this process.

    A line that cannot be written, on a full disk, is left out. Else `logging` would tell stderr, which Serve has made a
    way into the very same log: every request would end in a RecursionError.
    """
    logging.raiseExceptions = False
    ours = logging.getLogger(OURS)
    ours.setLevel(logging.INFO)
    writes = any(isinstance(handler, MemoryHandler) for handler in logging.getLogger(SERVES).handlers)
    if writes and not any(isinstance(handler, ToServe) for handler in ours.handlers):
        ours.addHandler(ToServe())
