"""How long work reports where it is. It does not know what a terminal is."""

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Step:
    """`done` of `total` units of one piece of work, named by `what`; `detail` may change on the way."""

    what: str
    done: int
    total: int
    unit: Literal["bytes", "items"] = "bytes"
    detail: str = ""


class Watch(Protocol):
    def step(self, step: Step) -> None: ...

    def note(self, text: str) -> None: ...


class Silent:
    """For callers that show nothing."""

    def step(self, step: Step) -> None:
        pass

    def note(self, text: str) -> None:
        pass
