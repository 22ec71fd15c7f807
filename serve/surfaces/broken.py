"""What a client is told when an answer cannot be finished: by a lane's fault, or by a bug of ours."""

import logging
from pathlib import Path

from serve.errors import HttpError
from serve.lane_errors import LaneInterrupted

log = logging.getLogger("pointsman.ingress")


def told(error: Exception) -> HttpError:
    """The words for a client; for a bug the log says where it is."""
    if isinstance(error, LaneInterrupted):
        words = f"The answer of {error.lane} broke off: {error.message}"
        return HttpError(words, code="upstream_interrupted")
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "?"
    # Not the message and not the locals: they may hold the request.
    log.error("internal error: %s at %s", type(error).__name__, where)
    return HttpError("Something went wrong inside Pointsman; the log says where.")
