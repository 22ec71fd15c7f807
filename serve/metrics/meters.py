"""What is counted of a request, and when: the only place that turns requests into numbers."""

import time
from typing import TYPE_CHECKING

from serve.config import ON_PREMISES, Config
from serve.errors import BudgetExceeded, HttpError
from serve.job import Answer
from serve.ledger.estimate import Tokens
from serve.metrics import catalogue as of
from serve.metrics.book import Book
from serve.outcomes.sheet import always_cloud
from serve.trail import Ended, Trail

if TYPE_CHECKING:
    from serve.router import Decided

NOBODY = "none"
_PAID = {"budget": of.BUDGET, "ledger_down": of.UNLEDGERED}
_MORE = {"repaired": of.REPAIRS, "reasked": of.REASKS, "invalid": of.INVALID, **_PAID}
_LANES = (of.COST, of.SPILLS, *_MORE.values())


class Meters:
    """The counters of one Router."""

    def __init__(self, config: Config) -> None:
        self.book = Book()
        self._by_key = config.metrics.by_key
        self._places: dict[str, str] = {}
        self.follow(config)
        # A rate over a counter's first increase needs the zero before it.
        for lane in config.lanes:
            for metric in _LANES:
                self.book.add(metric, lane.name, by=0)
        self.book.add(of.REFUSALS, BudgetExceeded.code, by=0)

    def follow(self, config: Config) -> None:
        """Count by the changed configuration from now on."""
        self._places = {
            lane.name: "local" if lane.location in ON_PREMISES else "cloud" for lane in config.lanes
        }

    def request(self, decided: "Decided", trail: Trail, answer: Answer | None, outcome: str) -> None:
        """One request that was answered (a stream: begun), failed or lost its client."""
        decision, task, book = decided.decision, decided.signals.task.task, self.book
        lane = answer.lane if answer else NOBODY
        book.add(of.REQUESTS, lane, outcome, decision.reason, decision.permit.level.label)
        if self._by_key:
            book.add(of.KEY_REQUESTS, decided.visit.key.name)
        if answer is None:
            return
        self._tried(task, trail, tuple((a.lane, a.outcome) for a in answer.attempts))
        place, passed = self._places[lane], time.monotonic() - decided.started
        book.add(of.PLACES, task, place)
        book.observe(of.ANSWER if answer.chunks is None else of.FIRST_TOKEN, passed, place)
        lanes_s = sum(attempt.seconds for attempt in answer.attempts)
        book.observe(of.OVERHEAD, max(0.0, passed - lanes_s))

    def failed(self, decided: "Decided", trail: Trail, error: HttpError) -> None:
        """One request that nobody answered."""
        self.request(decided, trail, None, error.code)
        self._tried(decided.signals.task.task, trail, tuple((lane, end) for lane, end, _ in error.tried))

    def refused(self, code: str) -> None:
        """A client got an error."""
        self.book.add(of.REFUSALS, code)

    def ended(self, ended: Ended) -> None:
        """A request is over, a stream that had begun too."""
        # Once for each request and not for each attempt: an answer that was refused has saved nobody anything.
        self.book.add(of.ALWAYS_CLOUD, by=always_cloud(ended))
        streamed = ended.decided.request.stream and ended.decision.review is None
        if streamed and ended.lane is not None:
            self.book.add(of.STREAMS, ended.lane, ended.status)

    def signal(self, name: str, seconds: float, failed: bool) -> None:
        """One signal was read."""
        self.book.observe(of.SIGNAL, seconds, name)
        if failed:
            self.book.add(of.SIGNAL_FAILURES, name)

    def stage(self, name: str, began: float) -> float:
        """A stage that began at this time.monotonic() is over now, which is returned: the next one begins."""
        now = time.monotonic()
        self.book.observe(of.STAGE, now - began, name)
        return now

    def spent(self, lane: str, key: str, tokens: Tokens, cost: int) -> None:
        """An attempt is settled, for `cost` micro-dollars."""
        book = self.book
        book.add(of.COST, lane, by=cost)
        book.add(of.TOKENS, lane, "input", by=tokens.input)
        book.add(of.TOKENS, lane, "output", by=tokens.output)
        if tokens.cached:
            book.add(of.TOKENS, lane, "cached", by=tokens.cached)
        if self._by_key:
            book.add(of.KEY_COST, key, by=cost)

    def shadow(self, purpose: str, outcome: str) -> None:
        """A call in the background is over, or was not made."""
        self.book.add(of.SHADOWS, purpose, outcome)

    def learned(self, outcome: str) -> None:
        """A look for a better routing table, made on schedule, is over."""
        self.book.add(of.LEARNING, outcome)

    def _tried(self, task: str, trail: Trail, tried: tuple[tuple[str, str], ...]) -> None:
        for lane, end in tried:
            self.book.add(of.ATTEMPTS, lane, end)
            if (more := _MORE.get(end)) is not None:
                self.book.add(more, lane)
        for cause in trail.escalations:
            self.book.add(of.ESCALATIONS, cause)
        if len(tried) < 2 or [end for _, end in tried[1:]] == ["reasked"]:
            return  # nobody took over
        first = next((end for _, end in tried if end not in ("ok", "repaired", "reasked")), None)
        if first is not None:
            self.book.add(of.FALLBACKS, task, first)
