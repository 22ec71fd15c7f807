"""The bill of one request: every attempt of it is reserved for before the lane is asked, and settled when it is over.

Knows money and tokens. Does not know lanes, retries or SQL.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType

from serve.lane_errors import LaneError, LaneUnledgered, LaneUnpaid
from serve.ledger import money
from serve.ledger.desk import Desk, LedgerDown, new_id
from serve.ledger.entries import Record, Reserve, Settle, Spent, milliseconds
from serve.ledger.estimate import Size, Tokens, cut, no_less, reported, worst
from serve.ledger.prices import Tariff
from serve.ledger.terms import Payer, Terms
from serve.signals import context
from serve.tracing import spans
from serve.wire.openai_answer import ChatChunk, ChatCompletion, Ends, Usage
from serve.wire.openai_embeddings import Vectors

Watch = Callable[[str, str, Tokens, int], None]
"""Told of each attempt that is over: its lane, the payer's key, tokens and micro-dollars."""
Timed = Callable[[str, float], float]
"""Told of each stage that is over: its name and the time.monotonic() at which it began."""


@dataclass(slots=True)
class Bill:
    """One request's money. `cap`: the most that all its attempts together may cost at providers, in micro-dollars."""

    desk: Desk
    terms: Terms
    payer: Payer
    size: Size
    decision_id: str
    cap: int | None = None
    cost: int = 0  # micro-dollars of attempts that are over, those of our own lanes too
    billed: int = 0  # the part of it that providers ask for
    _committed: int = 0  # spent and reserved at providers
    watch: Watch = lambda lane, key, tokens, cost: None
    timed: Timed = lambda stage, began: began

    async def begin(self, lane: str, more: int = 0) -> "Charge":
        """Open an attempt, with `more` tokens of input than the request has.

        Raises LaneUnpaid when it may cost more than is left, LaneUnledgered.
        """
        tariff = self.terms.tariffs[lane]
        size = replace(self.size, input_tokens=self.size.input_tokens + more)
        charge = Charge(self, lane, tariff, size)
        if tariff.billed:
            with spans.stage("reserve", lane=lane):
                await self._reserve(charge)
        return charge

    async def _reserve(self, charge: "Charge") -> None:
        lane, amount, clock = charge.lane, charge.reserved, self.desk.clock
        if self.cap is not None and self._committed + amount > self.cap:
            raise LaneUnpaid(lane, over(amount, self.cap - self._committed, "the limit of this request"))
        accounts = self.terms.accounts(self.payer, clock())
        ends = milliseconds(clock) + int(self.terms.lease_s * 1000)
        entry = Reserve(
            charge.id, accounts, amount, self.decision_id, lane, payer=self.payer.key.name, expires_at=ends
        )
        self._committed += amount
        began = time.monotonic()
        try:
            refused = await self.desk.reserve(entry)
            self.timed("ledger", began)
        except LedgerDown as error:
            self._committed -= amount
            raise LaneUnledgered(lane, f"the ledger is down: {error}") from None
        except BaseException:
            self._committed -= amount
            raise
        if refused is not None:
            self._committed -= amount
            raise LaneUnpaid(
                lane, f"it may cost ${money.usd(amount)}, and {refused.words} has no room for that"
            )

    def end(self, charge: "Charge", tokens: Tokens | None, outcome: str) -> None:
        """Settle one attempt; None: it was never made, or cost nothing."""
        cost = 0
        if tokens is not None:
            cost = charge.tariff.cost(
                tokens.input, tokens.cached, tokens.output, tokens.written, tokens.written_1h
            )
        self.cost += cost
        self.billed += cost if charge.tariff.billed else 0
        if tokens is not None and (tokens.certain or not charge.tariff.free):
            self.watch(charge.lane, self.payer.key.name, tokens, cost)
        spent = None if tokens is None else self._spent(charge, tokens, outcome, cost)
        if charge.tariff.billed:
            self._committed += cost - charge.reserved
            self.desk.settle(Settle(charge.id, spent))
        elif spent is not None and not charge.tariff.free:
            self.desk.record(Record(spent))

    def _spent(self, charge: "Charge", tokens: Tokens, outcome: str, cost: int) -> Spent:
        return Spent(
            id=charge.id,
            decision_id=self.decision_id,
            at=milliseconds(self.desk.clock),
            payer=self.payer.key.name,
            team=self.payer.key.team,
            session=self.payer.session_id,
            lane=charge.lane,
            outcome=outcome,
            input_tokens=tokens.input,
            cached_tokens=tokens.cached,
            output_tokens=tokens.output,
            cost=cost,
            certain=tokens.certain,
            billed=charge.tariff.billed,
            prices=charge.tariff.version,
        )


def over(amount: int, left: int, whose: str) -> str:
    """Why there is no money, in words."""
    return f"it may cost ${money.usd(amount)}, and {whose} has ${money.usd(max(0, left))} left"


@dataclass(slots=True)
class Charge:
    """One attempt: hears what the lane answers, and is settled when it ends, however it ends."""

    bill: Bill
    lane: str
    tariff: Tariff
    size: Size
    id: str = field(default_factory=new_id)
    reserved: int = 0
    _taken_at: float | None = None
    _first_at: float | None = None
    _heard: int = 0
    _ends: Ends = field(default_factory=Ends)
    _usage: Usage | None = None
    _final: bool = False  # `_usage` was said at the end of the answer, and not on the way
    _doubtful: bool = False
    _ended: bool = False

    def __post_init__(self) -> None:
        most = worst(self.size, self.tariff)
        self.reserved = self.tariff.cost(most.input, most.cached, most.output, most.written, most.written_1h)

    def taken(self) -> None:
        """The lane has the call: from now on it may cost something."""
        self._taken_at = time.monotonic()

    def hear(self, item: ChatChunk | ChatCompletion | Vectors) -> None:
        """A part of the answer, or the whole of it."""
        if isinstance(item, ChatChunk):
            self._ends.add(item)
        if item.usage is not None:
            self._usage, self._final = item.usage, not isinstance(item, ChatChunk) or self._ends.whole
        if self.tariff.free:
            return
        if words := _words(item):
            self._first_at = self._first_at or time.monotonic()
            self._heard += max(1, context.count(words))
        self._doubtful = self._doubtful or bool(item.usage_doubtful)

    def end(self, error: BaseException | None) -> None:
        """It is over; only the first call counts."""
        if self._ended:
            return
        self._ended = True
        outcome = error.outcome if isinstance(error, LaneError) else "cut" if error is not None else "ok"
        self.bill.end(self, self._tokens(error), outcome)

    def _tokens(self, error: BaseException | None) -> Tokens | None:
        said = None if self._doubtful else reported(self._usage, self._heard, self.size, self.tariff)
        if said is not None and self._final:
            return said
        guess = self._estimate(error, counted=said is not None)
        return guess if guess is None or said is None else no_less(guess, said.input, said.output)

    def _estimate(self, error: BaseException | None, counted: bool) -> Tokens | None:
        """Where no bill was heard. `counted`: the provider had begun one."""
        nothing = isinstance(error, LaneError) and error.free and not self._heard and not counted
        if self._taken_at is None or nothing:
            return None
        if error is not None and self._first_at is not None and not self._doubtful:
            return cut(self._heard, self._first_at - self._taken_at, self.size, self.tariff)
        return worst(self.size, self.tariff)

    def __enter__(self) -> "Charge":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)


def _words(item: ChatChunk | ChatCompletion | Vectors) -> str:
    """Everything that was written, by a model that is paid by the word."""
    if isinstance(item, Vectors):
        return ""
    parts = (
        [c.delta for c in item.choices] if isinstance(item, ChatChunk) else [c.message for c in item.choices]
    )
    found: list[str | None] = []
    for part in parts:
        found += [part.content, part.refusal, part.reasoning_content]
        found += [text for call in part.tool_calls or () if call.function
                  for text in (call.function.name, call.function.arguments)]  # fmt: skip
    return "".join(filter(None, found))
