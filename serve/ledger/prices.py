"""What each lane of a configuration costs per token, and whether somebody outside bills for it.

Knows configurations. Does not know requests.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from serve.config import ON_PREMISES, Config, EngineLane, HttpLane, Lane
from serve.ledger.config import Price
from serve.ledger.money import micro


@dataclass(frozen=True, slots=True)
class Tariff:
    """Micro-dollars per million tokens of one lane.

    billed  somebody outside asks for this money: it is reserved, and budgets may forbid it. What our own hardware
            costs is shown and recorded, and forbids nothing.
    most    output tokens of one answer when the client sets no limit
    writes  what is written into its cache costs more than input: a quarter more, or twice as much for an hour
            (Anthropic's price list)
    """

    input: int
    output: int
    cached: int
    billed: bool
    version: str
    context: int
    most: int
    writes: bool = False

    @property
    def free(self) -> bool:
        """Nothing that happens here costs anything."""
        return not (self.input or self.output or self.cached or self.billed)

    def cost(
        self, input_tokens: int, cached_tokens: int, output_tokens: int, written: int = 0, written_1h: int = 0
    ) -> int:
        """Micro-dollars, rounded up.

        `cached_tokens` and `written` are part of `input_tokens`, `written_1h` is part of `written`.
        """
        fresh = input_tokens - cached_tokens
        parts = fresh * self.input + cached_tokens * self.cached + output_tokens * self.output
        parts += -(-(written + 3 * written_1h) * self.input // 4)
        return -(-parts // 1_000_000)


DEFAULT_OUTPUT_TOKENS = 4096


def tariffs(config: Config) -> Mapping[str, Tariff]:
    """The tariff of every lane."""
    return {lane.name: _tariff(lane, config) for lane in config.lanes}


def _tariff(lane: Lane, config: Config) -> Tariff:
    outside = lane.location not in ON_PREMISES
    price = price_of(lane, config)
    billed = outside or (lane.kind != "engine" and lane.location != "device" and price is not None)
    price = price or Price(input=0, output=0)
    cached = price.input if price.cached_input is None else price.cached_input
    most = lane.max_output_tokens if isinstance(lane, HttpLane) else DEFAULT_OUTPUT_TOKENS
    return Tariff(
        micro(price.input),
        micro(price.output),
        micro(cached),
        billed,
        config.prices.version,
        lane.context,
        most,
        writes=lane.kind == "anthropic",
    )


def tariff_at(price: Price, version: str) -> Tariff:
    """The tariff of a model that no lane has: good for what it would have cost, and for nothing else."""
    cached = price.input if price.cached_input is None else price.cached_input
    return Tariff(micro(price.input), micro(price.output), micro(cached), True, version, 0, 0)


def price_of(lane: Lane, config: Config) -> Price | None:
    """What the lane says itself, or the prices say of it, or all that is not listed costs off premises."""
    prices = config.prices
    model = lane.engine if isinstance(lane, EngineLane) else lane.model
    listed = lane.price or prices.lanes.get(lane.name) or prices.lanes.get(model)
    if listed is not None:
        return listed
    if lane.location not in ON_PREMISES:
        return prices.unlisted
    own = prices.local.get(lane.name) or prices.local.get(model)
    return own.price if own else None
