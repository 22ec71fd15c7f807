"""A lane behind a Serve handle: one hop to an Engine or to CloudProxy.

Knows what Ray's failures mean to dispatch. Does not know what travels.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from ray.exceptions import RayActorError, RayError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle

from serve.lane_errors import LaneError, LaneFull, LaneUnavailable, ReplicaDied
from serve.lanes.base import LaneCall, Piece


class HandleLane:
    """Calls `answer` of a deployment. Serve does not retry: dispatch has the only retry loop."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        # Made once: a handle with its own options has its own router and queue counters.
        self._stream = handle.options(stream=True)

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        """Pieces of the answer. Raises LaneError; closing the iterator cancels the call."""
        pieces: Any = self._stream.answer.remote(call)
        try:
            async for piece in pieces:
                yield piece
        except LaneError:
            raise
        except BackPressureError:
            raise LaneFull(call.lane, "its queue is full") from None
        except RayActorError:
            raise ReplicaDied(call.lane, "its replica died") from None
        except DeploymentUnavailableError:
            raise LaneUnavailable(call.lane, "its deployment failed") from None
        except (RayError, RayServeException) as error:
            raise LaneUnavailable(call.lane, f"the call failed: {type(error).__name__}") from None
        finally:
            # A call that was refused has nothing to cancel, and says so by raising its refusal once more.
            with suppress(RayError, RayServeException):
                pieces.cancel()
