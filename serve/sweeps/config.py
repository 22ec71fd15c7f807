"""The `sweeps` and `judge` sections of the configuration. Both are off unless they are configured."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve.ledger.config import Caps

SWEEPS, JUDGE = "sweeps", "judge"
"""The ledger's accounts that pay for them."""

QUESTION = (
    "How well does the answer do what the user of the conversation asked for? 1: right and complete. "
    "0.5: usable with small corrections. 0: wrong, empty or beside the point."
)
Share = Annotated[float, Field(gt=0, le=1)]


def payer(account: str) -> str:
    """Who pays, in `ledger_attempts`. No key has such a name: a colon is not for names."""
    return f"pointsman:{account}"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class SweepsConfig(_Strict):
    """Whether a sample of what one tier answered also goes to the tier below, when, and for how much."""

    enabled: bool = False
    every: Literal["day", "week"] = Field("week", description="a week begins on Monday, both in UTC")
    open_hours: float = Field(24, gt=0, le=168, description="from the beginning of each day or week")
    share: Share = Field(0.1, description="of the requests that may be sampled while a sweep is open")
    reach: Literal["next", "all"] = Field(
        "next", description="the next lower tier, or one of all lower tiers, drawn with equal chances"
    )
    samples: int = Field(
        100, ge=1, le=100_000, description="of each task type and pair of tiers in one sweep, about"
    )
    budget: Caps = Field(
        Caps(day=1, month=5), description="US dollars at providers for the answers, not for the judge"
    )
    agree_from: float = Field(
        0.6, ge=0, le=1, description="agreement with the accepted answer that counts as good without a judge"
    )
    good_from: float = Field(
        0.9, gt=0, lt=1, description="share of good answers from which the tier below is good enough"
    )
    timeout_s: float = Field(60, gt=0, le=600, description="for one answer of the tier below")


class JudgeConfig(_Strict):
    """Which lane judges a sample of answers, how many, and what it is asked."""

    lane: str | None = Field(None, description="None: nobody judges")
    share: Share = Field(0.05, description="of the answers that this lane is permitted to see")
    question: str = Field(QUESTION, min_length=8, max_length=4000)
    budget: Caps = Field(Caps(day=1, month=5), description="US dollars at providers")
    timeout_s: float = Field(30, gt=0, le=600)
