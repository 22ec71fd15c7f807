"""The gate: what a request is permitted to leave for, and the only client that opens connections.

Knows permits, re-reads the outgoing bytes on its own, and builds the HTTP client. Does not choose lanes.
"""

import asyncio
import json
import re
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2
from pydantic import JsonValue

from serve.config import ON_PREMISES, Config, HttpLane, Location
from serve.lane_errors import LaneEgressDenied
from serve.pool import Transport
from serve.request import RequestView, string_leaves
from serve.signals import sensitivity
from serve.signals.readings import Sensitivity

IDLE_S = 4.0
"""How long an unused connection is kept: less than the 5 s after which vLLM, uvicorn and Node.js close theirs.

Whoever sends while the other side closes loses the request, and may have to pay for it.
"""


@dataclass(frozen=True, slots=True)
class Permit:
    """Where one request may be answered. Later stages may narrow it, nothing widens it.

    exempt  rules of the sensitivity signal that the caller's key sets aside for this request
    sealed  closed blobs that are known to come from the lane they go to: it can read nothing new in them
    """

    level: Sensitivity
    locations: frozenset[Location]
    exempt: frozenset[str] = frozenset()
    sealed: frozenset[str] = frozenset()

    def narrowed(self, locations: frozenset[Location]) -> "Permit":
        """The permit for at most `locations`."""
        return replace(self, locations=self.locations & locations)


def check(lane: HttpLane, permit: Permit, body: bytes, config: Config) -> None:
    """Raise LaneEgressDenied unless `body` may go to `lane`.

    Believes neither the permit alone nor the text alone: both must allow the location. The bytes are read
    again here because an error upstream of this line must not be enough to leak.
    """
    if lane.location not in permit.locations:
        raise LaneEgressDenied(lane.name, f"the permit does not include {lane.location}")
    if lane.location in ON_PREMISES & config.policy.permits(Sensitivity.CONFIDENTIAL):
        return
    found = sensitivity.read(_outgoing(json.loads(body), permit.sealed), config.signals.sensitivity.own)
    level = max(found.without(permit.exempt).level, permit.level)
    if lane.location not in config.policy.permits(level):
        raise LaneEgressDenied(lane.name, f"{level.label} content may not go to {lane.location}")


async def admit(lane: HttpLane, permit: Permit, body: bytes, config: Config) -> None:
    """`check` for the event loop: a long body is read in a thread, and one that cannot be read in time is refused.

    Raises LaneEgressDenied, whatever went wrong: what was not checked does not leave.
    """
    try:
        if len(body) <= config.signals.inline_chars:
            check(lane, permit, body, config)
        else:
            reading = asyncio.to_thread(check, lane, permit, body, config)
            await asyncio.wait_for(reading, config.signals.deadline_s)
    except LaneEgressDenied:
        raise
    except Exception as error:  # a gate that fails stays shut
        raise LaneEgressDenied(lane.name, f"the gate could not read it: {type(error).__name__}") from None


async def _unread(answer: httpx2.Response) -> None:
    """The status says it all. The body of an error or a redirect may never end, and is not repeated anyway."""
    if not answer.is_success:
        await answer.aclose()


def client(lane: HttpLane, connect_s: float = 5) -> httpx2.AsyncClient:
    """The connection pool of one lane. The environment's proxies are ignored: they would reroute all egress.

    It keeps no cookies: everybody's requests share it.
    """
    limits = httpx2.Limits(
        max_connections=lane.max_in_flight,
        max_keepalive_connections=lane.max_in_flight,
        keepalive_expiry=IDLE_S,
    )
    return httpx2.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        event_hooks={"response": [_unread]},
        timeout=httpx2.Timeout(None, connect=connect_s, pool=connect_s),
        transport=Transport(limits),
    )


_CLOSED = re.compile(r"messages\[\d+\]\.thinking_blocks\[\d+\]\.(signature|data)")
_UNREADABLE = (".image_url.url", ".input_audio.data")


def _outgoing(body: dict[str, JsonValue], sealed: frozenset[str]) -> RequestView:
    """What is to be read of the bytes. A closed blob that nobody vouches for is a part that cannot be read."""
    every = tuple(string_leaves(body))
    closed = [leaf for leaf in every if _CLOSED.fullmatch(leaf.path)]
    unreadable = tuple(leaf.path for leaf in every if leaf.path.endswith(_UNREADABLE))
    unreadable += tuple(leaf.path for leaf in closed if leaf.text not in sealed)
    hidden = {leaf.path for leaf in closed if leaf.text in sealed}
    leaves = tuple(leaf for leaf in every if leaf.path not in hidden)
    return RequestView(
        leaves=leaves,
        opaque=unreadable,
        prompt="",
        instructions="",
        conversation="\n".join(leaf.text for leaf in leaves if leaf.path.startswith("messages[")),
        tool_names=(),
        structured=False,
        needs=frozenset(),
        output_tokens=None,
    )
