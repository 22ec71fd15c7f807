"""CloudProxy: the only deployment that opens connections off the machine.

Every call passes the egress gate here, whatever the router decided. Does not retry and does not choose.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

import httpx2
from pydantic import JsonValue
from ray import serve

from serve import egress, lines
from serve.coalesce import coalesce
from serve.config import SWITCHED_OFF, Config, HttpLane
from serve.lane_errors import LaneSwitchedOff, LaneUnavailable
from serve.lanes.base import LaneCall, Piece
from serve.lanes.openai import OpenAILane
from serve.reload import Reload

if TYPE_CHECKING:
    from serve.lanes.anthropic import AnthropicLane


class CloudProxy:
    """All HTTP lanes of one configuration, each with its own connection pool."""

    def __init__(self, config: Config) -> None:
        lines.join()
        self._reload = Reload(config)
        self._lanes = {lane.name: lane for lane in config.lanes if isinstance(lane, HttpLane)}
        self._clients = {
            name: egress.client(lane) for name, lane in self._lanes.items() if not lane.off_because
        }
        self._dialects = {name: _dialect(self._lanes[name], http) for name, http in self._clients.items()}

    async def reconfigure(self, user_config: JsonValue) -> None:
        """Serve's hook for a changed `user_config`: the gate follows it from the next call on."""
        self._reload.take(user_config)

    async def close(self) -> None:
        """Close every connection."""
        for http in self._clients.values():
            await http.aclose()

    async def off(self) -> dict[str, str]:
        """Lanes that cannot be used, and why. Only this process needs to hold the keys."""
        return {name: why for name, lane in self._lanes.items() if (why := lane.off_because)}

    async def answer(self, call: LaneCall) -> AsyncIterator[Piece]:
        """Pieces of one answer, an empty one first: the call was taken.

        Raises LaneError; nothing is sent when the gate says no.
        """
        yield []
        config, dialect = self._reload.config, self._dialects.get(call.lane)
        if dialect is None:
            raise LaneUnavailable(call.lane, "is switched off")
        if not config.lane(call.lane).enabled:
            raise LaneSwitchedOff(call.lane, SWITCHED_OFF)
        await egress.admit(self._lanes[call.lane], call.permit, call.body, config)
        async with aclosing(coalesce(dialect.documents(call.body, call.stream))) as pieces:
            async for piece in pieces:
                yield piece


def _dialect(lane: HttpLane, http: httpx2.AsyncClient) -> "OpenAILane | AnthropicLane":
    if lane.kind == "openai":
        return OpenAILane(lane, http)
    # Its SDK takes 38 MiB of every process that imports it: here only where a lane speaks it.
    from serve.lanes.anthropic import AnthropicLane

    return AnthropicLane(lane, http)


CloudProxyDeployment = serve.deployment(
    name="CloudProxy", max_ongoing_requests=512, max_queued_requests=256, ray_actor_options={"num_cpus": 0.1}
)(CloudProxy)
