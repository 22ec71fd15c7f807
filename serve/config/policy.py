"""Where data may go, the rules in order, and whose answers a person must see."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from serve.config.lanes import ON_PREMISES, Location
from serve.config.strict import Name, Strict
from serve.ledger.config import Usd
from serve.routing_table import RoutingTable, Tier
from serve.signals.readings import Difficulty, Latency, Sensitivity, Stakes, TaskType


class When(Strict):
    """Conditions of a rule; all that are given must hold."""

    input_tokens_over: int | None = Field(None, ge=0)
    constraints_over: int | None = Field(None, ge=0)
    difficulty: frozenset[Difficulty] | None = None
    confidence_at_least: float | None = Field(None, ge=0, le=1)
    gain_at_least: float | None = Field(
        None, ge=0, le=1, description="probability that a strong model is right where a weak one is wrong"
    )
    task: frozenset[TaskType] | None = None
    tools: bool | None = None
    structured: bool | None = None
    stakes: frozenset[Stakes] | None = None
    latency: frozenset[Latency] | None = None
    ceiling_below_usd: Usd | None = Field(
        None, description="the request may cost less than this at most; one without a ceiling may not"
    )


class Rule(Strict):
    """One routing rule: the first whose conditions hold chooses which lanes come first, and says why."""

    name: Name
    when: When = When()
    prefer: tuple[Name, ...] = Field(
        min_length=1, description="lanes to try first; the others follow in order"
    )
    tier: Tier | Literal["table"] | None = Field(
        None,
        description="lanes of this tier first, then stronger, then weaker ones, each in the order of `prefer`; "
        "table: the tier is that of the row for the task in policy.table",
    )
    sticky: bool | None = Field(
        None,
        description="whether a session stays on the lane that answered last under this rule; null: where this rule "
        "placed it, or has no conditions",
    )
    because: str = Field(min_length=8)


class ReviewWhen(When):
    """Conditions of a review: those of a rule, and the class of the data."""

    class_at_least: Literal["public", "internal", "confidential"] | None = None

    @property
    def level(self) -> Sensitivity:
        """The lowest class it holds for."""
        return Sensitivity.parse(self.class_at_least or "public")


class ReviewRule(Strict):
    """Whose answers a person must approve before anybody gets them: the first whose conditions hold."""

    name: Name
    when: ReviewWhen = ReviewWhen()
    because: str = Field(min_length=8)


class PolicyConfig(Strict):
    """Which class may go where, the rules in order, and whose answers a person must see first."""

    locations: dict[str, frozenset[Location]] = Field(
        default={
            "public": frozenset({"device", "private", "eu", "global"}),
            "internal": frozenset({"device", "private", "eu"}),
            "confidential": ON_PREMISES,
        }
    )
    overrides: bool = Field(True, description="clients may steer by model name, header and prefix")
    rules: tuple[Rule, ...] = Field(min_length=1)
    table: RoutingTable | None = Field(
        None, description="or the path of its file, relative to this one; rules with `tier: table` read it"
    )
    review: tuple[ReviewRule, ...] = Field((), description="answers that are held until a reviewer approves")

    @field_validator("locations")
    @classmethod
    def _fail_closed(cls, value: dict[str, frozenset[Location]]) -> dict[str, frozenset[Location]]:
        if missing := {level.label for level in Sensitivity} ^ value.keys():
            raise ValueError(
                f"needs exactly public, internal and confidential; wrong or missing: {sorted(missing)}"
            )
        if cloud := value["confidential"] - ON_PREMISES:
            raise ValueError(f"confidential data may never go to {sorted(cloud)}")
        if not value["confidential"] <= value["internal"] <= value["public"]:
            raise ValueError("a stricter class may not be allowed where a looser one is not")
        return value

    @model_validator(mode="after")
    def _ends_with_a_default(self) -> "PolicyConfig":
        if self.rules[-1].when != When():
            raise ValueError(
                f"the last rule ({self.rules[-1].name}) must have no conditions: it is the default"
            )
        return self

    @model_validator(mode="after")
    def _table_is_read(self) -> "PolicyConfig":
        readers = [rule.name for rule in self.rules if rule.tier == "table"]
        if readers and self.table is None:
            raise ValueError(f"rule {readers[0]} has tier: table, and there is no table: set policy.table")
        if self.table is not None and not readers:
            raise ValueError("table: no rule has tier: table, so nothing would read it")
        return self

    def permits(self, level: Sensitivity) -> frozenset[Location]:
        """Where data of this class may be answered."""
        return self.locations[level.label]
