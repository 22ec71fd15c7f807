"""Which request is answered how: routes, the request's own errors, and what `*_then_ok` remembers.

Knows paths and wires. Does not know sockets or timing.
"""

import json
from dataclasses import replace

from tests.support import wire_anthropic, wire_embeddings, wire_openai
from tests.support.answers import Ask, BadAsk
from tests.support.faults import FAULTS, Script, find
from tests.support.http1 import Peer
from tests.support.play import Stage, Wire
from tests.support.record import Request
from tests.support.sse import dump, to_bytes

WIRES: dict[str, Wire] = {wire.PATH: wire for wire in (wire_openai, wire_anthropic, wire_embeddings)}
_NOBODY = Ask(model="", prompt="", input_tokens=0)


class Routes:
    """Sends each request to its wire."""

    def __init__(self) -> None:
        self.instead = ""
        self._refused: set[str] = set()
        self._serial = 0

    def forget(self) -> None:
        """Let `*_then_ok` refuse everything once again."""
        self._refused.clear()

    async def answer(self, peer: Peer, request: Request) -> None:
        """Answer one request, or fail it as its model name says."""
        self._serial += 1
        path = request.path.partition("?")[0]
        wire = WIRES.get(path) or (wire_anthropic if "anthropic-version" in request.headers else wire_openai)
        stage = Stage(peer, request, wire, _NOBODY, Script(), self._serial)
        if (request.method, path) == ("GET", "/v1/models"):
            await stage.reply(200, to_bytes(dump(wire.models([fault.example for fault in FAULTS]))))
        elif request.method != "POST" or path not in WIRES:
            await stage.reply(
                404, to_bytes(dump(wire.error("not_found", f"no route {request.method} {path}")))
            )
        else:
            await self._complete(stage)

    async def _complete(self, stage: Stage) -> None:
        try:
            stage.ask = _read(stage.wire, stage.request)
        except BadAsk as bad:
            await stage.reply(400, to_bytes(dump(stage.wire.error("invalid", str(bad)))))
            return
        script = find(self.instead or stage.ask.model)
        if script.told:
            script = find(stage.ask.prompt.partition(" ")[0])
        stage.script = self._only_once(script, stage.request)
        await stage.play()

    def _only_once(self, script: Script, request: Request) -> Script:
        """Per messages and not per call, so that `*_then_ok` means the same under concurrency."""
        if script.trouble is None or not script.trouble.once:
            return script
        key = json.dumps([request.model, request.json.get("messages") or request.json.get("input")])
        if key in self._refused:
            return replace(script, trouble=None)
        self._refused.add(key)
        return script


def _read(wire: Wire, request: Request) -> Ask:
    if not isinstance(request.json, dict):
        raise BadAsk("We could not parse the JSON body of your request.")
    if not isinstance(request.json.get("model"), str):
        raise BadAsk("model: Field required")
    try:
        return wire.read(request.json, request.headers)
    except (AttributeError, KeyError, TypeError, ValueError) as bad:
        raise BadAsk(f"malformed request: {bad!r}") from bad
