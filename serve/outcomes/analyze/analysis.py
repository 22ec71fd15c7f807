"""What a log would have cost here: every request judged by the very signals and policy of the router, none sent.

Knows the pre-scout only: no Scout, no load, no budget. Takes every lane as up, also those whose key is missing.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace

from pydantic import JsonValue

from models.scout.prescout import PreScout
from serve import policy, schemas
from serve.config import ON_PREMISES, Config
from serve.decision import LaneState
from serve.errors import HttpError
from serve.ledger.prices import Tariff, tariff_at
from serve.ledger.terms import Terms
from serve.outcomes.analyze import lines
from serve.outcomes.analyze.counts import BadLine, Counts
from serve.outcomes.analyze.lines import Line
from serve.outcomes.analyze.rows import rows
from serve.outcomes.sheet import baseline_lane
from serve.request import view_of
from serve.signals.gather import Judges, gather
from serve.signals.readings import Signals
from serve.wire.openai_chat import parse
from serve.wish import Wish

MOST_NAMED = 20
NO_MESSAGES = "no messages"
REFUSED = "refused here"


class NothingReadable(ValueError):
    """No line could be read; the message says what was wrong with the first ones."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that could not be read, by its number from 1."""

    line: int
    why: str


@dataclass(slots=True)
class Category:
    """Requests of one task type. Money in micro-dollars; `tier1` and `confidential` of them are judged so."""

    task: str
    calls: int = 0
    tier1: int = 0
    local: int = 0
    confidential: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    before: int = 0
    after: int = 0


@dataclass(slots=True)
class Analysis:
    """`unpriced` models are charged at `baseline_lane`; `without_output` lines say nothing of an answer's tokens."""

    baseline_lane: str | None
    calls: int = 0
    judged: int = 0
    without_output: int = 0
    unpriced: dict[str, int] = field(default_factory=dict)
    bad_lines: int = 0
    bad: list[Bad] = field(default_factory=list)
    categories: dict[str, Category] = field(default_factory=dict)
    input_sizes: list[int] = field(default_factory=list)
    output_sizes: list[int] = field(default_factory=list)

    @property
    def total(self) -> Category:
        """All categories together."""
        whole = Category("total")
        for one in self.categories.values():
            for name in Category.__slots__:
                if name != "task":
                    setattr(whole, name, getattr(whole, name) + getattr(one, name))
        return whole

    @property
    def document(self) -> JsonValue:
        """As JSON; its fields are described in docs/economics.md."""
        inputs, outputs = sorted(self.input_sizes), sorted(self.output_sizes)
        return {
            "baseline_lane": self.baseline_lane,
            "calls": self.calls,
            "judged": self.judged,
            "without_output": self.without_output,
            "unpriced_models": {**self.unpriced},
            "bad_lines": self.bad_lines,
            "bad": [asdict(one) for one in self.bad],
            "input_tokens": _profile(inputs),
            "output_tokens": _profile(outputs),
            "total": asdict(self.total),
            "categories": [asdict(one) for one in self.ordered],
        }

    @property
    def ordered(self) -> list[Category]:
        """The most frequent first."""
        return sorted(self.categories.values(), key=lambda one: (-one.calls, one.task))


async def run(log: Iterable[bytes], config: Config) -> Analysis:
    """Read and judge every row. Raises NothingReadable when there is none that can be."""
    counter = _Counter(config)
    for number, raw in rows(log):
        try:
            await counter.add(lines.read(raw))
        except BadLine as error:
            counter.refuse(number, str(error))
    found = counter.found
    if not found.calls:
        first = "; ".join(f"line {bad.line}: {bad.why}" for bad in found.bad[:3])
        raise NothingReadable(f"no line could be read ({first or 'the file is empty'})")
    return found


class _Counter:
    """Adds up lines."""

    def __init__(self, config: Config) -> None:
        self._config, self._tariffs = config, Terms(config).tariffs
        self._judges = Judges(PreScout.load(), None)
        self._states = {lane.name: LaneState.READY for lane in config.lanes}
        self.found = Analysis(baseline_lane(config))

    def refuse(self, number: int, why: str) -> None:
        """Count a bad line, and name the first ones."""
        self.found.bad_lines += 1
        if len(self.found.bad) < MOST_NAMED:
            self.found.bad.append(Bad(number, why))

    async def add(self, line: Line) -> None:
        """Count one line. Raises BadLine before anything of it is counted."""
        judged = None if line.request is None else await self._judged(line.request)
        lane, signals, confidential = judged or (None, None, False)
        tokens = line.tokens
        if tokens.input is None:
            tokens = replace(tokens, input=signals.context.input_tokens if signals is not None else 0)
        task = NO_MESSAGES if signals is None else REFUSED if lane is None else signals.task.task
        one = self.found.categories.setdefault(task, Category(task))
        self._count(one, line, tokens)
        tariff = self._before(line.model, line.calls)
        one.before += (before := _cost(tariff, tokens))
        if lane is None:
            one.after += before  # nothing is said of what could not be judged
            return
        placed, then = self._config.lane(lane), self._tariffs[lane]
        self.found.judged += line.calls
        one.tier1 += placed.tier == 1
        one.local += placed.location in ON_PREMISES
        one.confidential += confidential
        # What the provider had in its cache is in nobody else's.
        one.after += before if then is tariff else _cost(then, replace(tokens, cached=0, written=0))

    def _count(self, one: Category, line: Line, tokens: Counts) -> None:
        found, taken, given = self.found, tokens.input or 0, tokens.output or 0
        found.calls += line.calls
        found.without_output += tokens.output is None
        one.calls += line.calls
        one.input_tokens += taken
        one.output_tokens += given
        if line.request is not None:
            found.input_sizes.append(taken)
            if tokens.output is not None:
                found.output_sizes.append(given)

    async def _judged(self, body: bytes) -> tuple[str | None, Signals, bool]:
        """The first lane, None where nobody may answer; the signals; whether the data is confidential."""
        config = self._config
        try:
            request = parse(body, config.server.bounds)
            schemas.check(request)
        except HttpError as error:
            raise BadLine(f"no chat request: {error.param or error.code}") from None
        view = view_of(request)
        signals = await gather(view, self._judges, config.signals, lambda _: False)
        confidential = signals.sensitivity.level.label == "confidential"
        try:
            return policy.decide(signals, view, Wish(), self._states, config).chain[0], signals, confidential
        except HttpError:
            return None, signals, confidential

    def _before(self, model: str, calls: int) -> Tariff | None:
        """The price of the log's model, else that of the baseline lane, where there is one."""
        tariff = self._tariff(model)
        if tariff is None:
            self.found.unpriced[model] = self.found.unpriced.get(model, 0) + calls
            name = self.found.baseline_lane
            tariff = self._tariffs[name] if name else None
        return tariff

    def _tariff(self, model: str) -> Tariff | None:
        """The price of a lane with this model, or of the model in the list of prices; a date behind it is left out."""
        for lane in self._config.lanes:
            if lane.kind != "engine" and _same(model, lane.model):
                return self._tariffs[lane.name]
        prices = self._config.prices
        name = next((listed for listed in prices.lanes if _same(model, listed)), None)
        return tariff_at(prices.lanes[name], prices.version) if name else None


def _cost(tariff: Tariff | None, tokens: Counts) -> int:
    """Micro-dollars."""
    if tariff is None:
        return 0
    return tariff.cost(tokens.input or 0, tokens.cached, tokens.output or 0, tokens.written)


def _same(model: str, name: str) -> bool:
    return model == name or model.startswith(f"{name}-20")


def _profile(sizes: list[int]) -> dict[str, JsonValue]:
    """Percentiles of sorted sizes."""
    if not sizes:
        return {}
    reach = {f"p{n}": sizes[min(len(sizes) - 1, len(sizes) * n // 100)] for n in (50, 90, 95, 99)}
    return {**reach, "max": sizes[-1]}
