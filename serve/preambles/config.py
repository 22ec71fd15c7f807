"""One entry of the `preambles` section of the configuration."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from serve.signals.readings import TaskReading, TaskType

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]


class Preamble(BaseModel):
    """Instructions and sampling for some types of task on local lanes; the first that fits is used."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    name: Name
    version: Version
    tasks: frozenset[TaskType] = Field(min_length=1)
    sure_at: float = Field(0.5, ge=0, le=1, description="not for a task that is less certain than this")
    lanes: frozenset[str] | None = Field(
        None, min_length=1, description="lanes on device or private; None: each of them"
    )
    text: str = Field(
        "", max_length=8000, description="stands before the client's system prompt; may be left out"
    )
    temperature: float | None = Field(None, ge=0, le=2, description="where the client sets no sampling")
    top_p: float | None = Field(None, gt=0, le=1, description="where the client sets no sampling")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.text and self.temperature is None and self.top_p is None:
            raise ValueError(f"{self.name} changes nothing: give it a text, a temperature or a top_p")
        return self

    @property
    def label(self) -> str:
        """Name and version as headers and logs show them."""
        return f"{self.name}/{self.version}"

    def fits(self, lane: str, task: TaskReading) -> bool:
        """Whether it is meant for this task on this lane."""
        here = self.lanes is None or lane in self.lanes
        return here and task.task in self.tasks and task.confidence >= self.sure_at
