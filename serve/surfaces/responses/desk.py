"""Where responses are kept for a while: found again by their own key only, continued, and deleted.

Keeps the event loop free of the database. Knows no HTTP.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from pydantic import JsonValue, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from serve import state
from serve.config import Config
from serve.errors import InvalidRequest, ResponsesUnavailable
from serve.keys.rights import Key
from serve.request import Leaf, string_leaves
from serve.router import Decided
from serve.shelf import Shelf
from serve.signals.gather import read_sensitivity
from serve.signals.readings import Sensitivity
from serve.surfaces.responses import read, reference
from serve.surfaces.responses.reference import Said
from serve.surfaces.responses.store import KeptResponse, ResponseStore
from serve.surfaces.responses.story import Document
from serve.surfaces.responses.surface import ResponsesExchange
from serve.surfaces.responses.wire import ResponseRequest

log = logging.getLogger("pointsman.responses")

SWEEP_S = 60.0
REFERENCED = 4
"""So many times the largest response may those be together whose items one request names."""
CLASS_HEADER = "x-pointsman-sensitivity"
_FRAME = re.compile(r"\.(?:id|type|status|role)$|#key$")


class ResponseDesk:
    """The kept responses, as one router process reaches them. Opens the database when it is first needed."""

    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._shelf = Shelf("responses", config.state.resolve(), self._opened, ResponsesUnavailable, clock)

    async def resumed(
        self, exchange: ResponsesExchange, key: Key, wishes: Mapping[str, str]
    ) -> tuple[ResponsesExchange, Mapping[str, str]]:
        """The exchange with what it continues or names, and the wishes with the class of all of that.

        Raises InvalidRequest where this key has no such response or item, ResponsesUnavailable.
        """
        if not exchange.request.earlier:
            return exchange, wishes
        continued = await self._continued(exchange.request, key)
        said = await self._said(exchange.request, key)
        # What made it confidential may have been said by a header then, which the words do not show.
        classes = {*([continued.level] if continued else []), *(one.level for one in said.values())}
        given = [wishes[CLASS_HEADER]] if CLASS_HEADER in wishes else []
        whole = replace(exchange, request=await asyncio.to_thread(reference.resolved, exchange.request, said))
        messages = continued.messages if continued else []
        return whole.after(messages), {**wishes, CLASS_HEADER: ", ".join([*given, *sorted(classes)])}

    async def _continued(self, request: ResponseRequest, key: Key) -> KeptResponse | None:
        if request.previous_response_id is None:
            return None
        found = await self.find(request.previous_response_id, key)
        if found is None:
            raise InvalidRequest(
                "previous_response_id: there is no such response, or it is not this key's, or it was not kept",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return found

    async def _said(self, request: ResponseRequest, key: Key) -> dict[str, Said]:
        """The responses whose items the request names, by their ids."""
        ids = reference.responses_named(request)
        if not ids or not await self._shelf.may_hold_some():
            return {}
        most = REFERENCED * self._config.responses.max_bytes_each

        def looked(store: ResponseStore, now: int) -> dict[str, Said]:
            if store.weight(ids, key.id, now) > most:
                raise InvalidRequest(
                    "input: the responses whose items it names are too large together: send the items themselves",
                    param="input",
                    code="body_too_large",
                )
            return {
                response_id: Said.of(output, level)
                for response_id, level, output in store.outputs(ids, key.id, now)
            }

        return await self._shelf.run(looked)

    async def keeping(self, exchange: ResponsesExchange, decided: Decided) -> ResponsesExchange:
        """The exchange that keeps its answer, where it shall.

        What is confidential is kept only where the client says `store: true`.
        """
        wanted = exchange.request.store
        if wanted is False or not self._config.responses.enabled:
            return exchange
        asked = max(decided.decision.permit.level, await _class_left_out(exchange.request, decided))
        if wanted is None and asked >= Sensitivity.CONFIDENTIAL:
            return exchange

        async def keep(document: Document) -> bool:
            level = max(asked, await _class(_told(document["output"]), decided))
            if wanted is None and level >= Sensitivity.CONFIDENTIAL:
                return False
            # Whatever fails: the answer is there, and paid for. It says that it was not kept.
            messages = await asyncio.to_thread(_spoken, exchange.messages, document["output"])
            if messages is None:
                return False
            kept = KeptResponse(
                exchange.id,
                decided.visit.key.id,
                level.label,
                exchange.created,
                messages,
                document,
            )
            try:
                return await self._shelf.run(lambda store, now: store.add(kept, now))
            except ResponsesUnavailable:
                return False

        return replace(exchange, keep=keep)

    async def find(self, response_id: str, key: Key) -> KeptResponse | None:
        """One response of this key. Raises ResponsesUnavailable."""
        if not await self._shelf.may_hold_some():
            return None
        return await self._shelf.run(lambda store, now: store.find(response_id, key.id, now))

    async def remove(self, response_id: str, key: Key) -> bool:
        """Delete one of this key; False where there is none. Raises ResponsesUnavailable."""
        return await self._shelf.run(lambda store, now: store.remove(response_id, key.id, now))

    @asynccontextmanager
    async def cleaning(self) -> AsyncGenerator[None, None]:
        """Delete what is over for as long as the block lasts, then close the database."""
        every_s = min(SWEEP_S, self._config.responses.keep_s / 2)
        task = asyncio.create_task(self._shelf.keep_clean(every_s, self._swept))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._shelf.close()

    async def _swept(self) -> None:
        if await self._shelf.may_hold_some():
            await self._shelf.run(lambda store, now: store.sweep(now))

    def _opened(self) -> ResponseStore:
        engine = state.open_database(self._config.state.resolve())
        try:
            return ResponseStore(engine, self._config.responses)
        except SQLAlchemyError:
            engine.dispose()
            raise


async def _class_left_out(request: ResponseRequest, decided: Decided) -> Sensitivity:
    """The class of what the Router did not read of the request, since no lane gets it, but which would be kept."""
    leaves = (leaf for name, value in read.left_out(request).items() for leaf in string_leaves(value, name))
    return await _class(tuple(leaves), decided)


def _told(output: JsonValue) -> tuple[Leaf, ...]:
    """What a lane wrote. The tokens of its probabilities are the same text again, in pieces."""
    leaves = string_leaves(output, "output")
    return tuple(leaf for leaf in leaves if ".logprobs" not in leaf.path and not _FRAME.search(leaf.path))


async def _class(leaves: tuple[Leaf, ...], decided: Decided) -> Sensitivity:
    """The class of texts that the Router did not read: confidential where they cannot be read in time."""
    if not leaves:
        return Sensitivity.PUBLIC
    view = replace(decided.view, leaves=leaves, opaque=(), prompt="", instructions="", conversation="")
    found = await read_sensitivity(view, decided.edition.config.signals)
    return found.without(decided.decision.permit.exempt).level


def _spoken(earlier: Sequence[read.Message], output: JsonValue) -> list[read.Message] | None:
    """`earlier` and the answer; None where a client could not send that answer back to us either."""
    try:
        return read.spoken(earlier, output)
    except ValidationError as error:
        # Its kind only: what was found there is content.
        kind = error.errors(include_url=False, include_input=False, include_context=False)[0]["type"]
        log.error("an answer cannot be kept: %s", kind)
        return None
