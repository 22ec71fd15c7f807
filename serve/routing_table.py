"""The routing table: per type of task the tier that answers it, and the likely gain from which it goes one higher.

Knows the shape of the table. Does not know lanes or requests.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from serve import yaml_file
from serve.signals.readings import ScoutReading, TaskReading, TaskType

Tier = Literal[1, 2, 3]
TIERS: tuple[Tier, ...] = get_args(Tier)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Row(_Strict):
    """Who answers one type of task. `evidence`: scored prompts of this type behind the row, 0 for a judgement."""

    tier: Tier = Field(
        description="1 local general, 2 local heavy or mid-tier cloud, 3 frontier: the tier of lanes"
    )
    threshold: float | None = Field(
        None, ge=0, le=1, description="likely gain from which the request goes one tier up; null: never"
    )
    evidence: int = Field(0, ge=0, description="scored prompts of this type behind the row")


class RoutingTable(_Strict):
    """One row for each type of task."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
    sure_at: float = Field(0.5, ge=0, le=1, description="a task less certain than this has the row `other`")
    tasks: dict[TaskType, Row]

    @field_validator("tasks")
    @classmethod
    def _whole(cls, value: dict[TaskType, Row]) -> dict[TaskType, Row]:
        if missing := [name for name in get_args(TaskType) if name not in value]:
            raise ValueError(f"needs a row for every type of task; missing: {', '.join(missing)}")
        return value

    def choose(self, task: TaskReading, scout: ScoutReading) -> "Choice":
        """The row for one judgement, and the tier it leads to."""
        name = task.task if task.confidence >= self.sure_at else "other"
        row = self.tasks[name]
        raised = row.tier < 3 and row.threshold is not None and scout.gain >= row.threshold
        return Choice(name, row, raised, scout.gain, self.version)


@dataclass(frozen=True, slots=True)
class Choice:
    """A row that was chosen, and whether the likely gain raised its tier."""

    task: TaskType
    row: Row
    raised: bool
    gain: float
    version: str

    @property
    def tier(self) -> Tier:
        """The tier whose lanes come first."""
        return TIERS[TIERS.index(self.row.tier) + self.raised]

    @property
    def text(self) -> str:
        """Which row decided, in words."""
        behind = f"{self.row.evidence:,} scored prompts behind it" if self.row.evidence else "a judgement"
        words = f"Row {self.task} of routing table {self.version} ({behind}) wants tier {self.row.tier}"
        if self.raised:
            words += (
                f"; its likely gain {self.gain:.2f} is at least {self.row.threshold}, so tier {self.tier}"
            )
        return f"{words}."


def flat(tier: Tier, like: RoutingTable) -> RoutingTable:
    """The table that chooses this tier for everything."""
    rows = dict.fromkeys(like.tasks, Row(tier=tier, threshold=None))
    return RoutingTable(version=f"tier-{tier}", sure_at=like.sure_at, tasks=rows)


def inlined(raw: object, source: Path | str) -> object:
    """`raw` with the file that `policy.table` names, relative to `source`, in its place. Raises ConfigError."""
    policy = raw.get("policy") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(policy, dict) or not isinstance(policy.get("table"), str):
        return raw
    path = Path(source).parent / policy["table"]
    table = yaml_file.parse(yaml_file.read(path), path)
    return raw | {"policy": policy | {"table": table}}
