"""The `prices` and `budgets` sections of the configuration, and what one file of prices holds."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from serve import yaml_file
from serve.ledger.money import MOST_USD, micro


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


Usd = Annotated[float, Field(ge=0, le=MOST_USD, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class Price(_Strict):
    """What a lane costs: US dollars per million tokens, which is micro-dollars per token."""

    input: Rate
    output: Rate
    cached_input: Rate | None = Field(None, description="None: the price of input")


class Amortised(_Strict):
    """What a lane on our own hardware costs: the price of an hour, spread over the tokens it answers in one."""

    usd_per_hour: Usd
    tokens_per_second: float = Field(
        gt=0, allow_inf_nan=False, description="input and output together, as it really runs"
    )

    @property
    def price(self) -> Price:
        """The same per million tokens."""
        each = min(1_000_000.0, self.usd_per_hour / (3600 * self.tokens_per_second) * 1_000_000)
        return Price(input=each, output=each)


DEAREST = Price(input=30, output=150)


class Prices(_Strict):
    """Prices of lanes that name none themselves."""

    version: str = Field(
        "built-in",
        min_length=1,
        max_length=64,
        description="written beside every cost, so that it can be redone",
    )
    lanes: dict[str, Price] = Field(default={}, description="by the name of a lane or of its model")
    local: dict[str, Amortised] = Field(default={}, description="by the name of a lane or of its engine")
    unlisted: Price | None = Field(
        DEAREST,
        description="an off-premises lane without a price is charged this; null: it is refused at load",
    )


class Caps(_Strict):
    """The most that may be spent in a day and in a month of UTC, in US dollars. None is no limit."""

    day: Usd | None = None
    month: Usd | None = None


NO_CAPS = Caps()


class BudgetsConfig(_Strict):
    """Who may spend how much at providers, in US dollars."""

    request: Usd | None = Field(None, description="one request, all its attempts together")
    session: Usd | None = Field(None, description="one x-pointsman-session of one key, as long as it lives")
    key: Caps = Field(NO_CAPS, description="each key whose own entry says nothing")
    teams: dict[str, Caps] = Field(default={}, description="by the team of a key")
    total: Caps = Field(NO_CAPS, description="everybody together")
    downgrade_at: float = Field(
        0.85, gt=0, le=1, description="used share from which cheaper lanes come first"
    )
    lease_s: float | None = Field(
        None,
        gt=0,
        description="what a dead process reserved counts as spent then; None: longer than any request",
    )


def cap(usd: float | None) -> int | None:
    """A limit in micro-dollars."""
    return None if usd is None else micro(usd)


def inlined(raw: object, source: Path | str) -> object:
    """`raw` with the file that `prices` names, relative to `source`, in its place. Raises ConfigError."""
    if not isinstance(raw, dict) or not isinstance(raw.get("prices"), str):
        return raw
    path = Path(source).parent / raw["prices"]
    return raw | {"prices": yaml_file.parse(yaml_file.read(path), path)}
