"""What each signal says about one request: the values that `policy.decide` reads.

Knows the shape of a judgement, not how one is made.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

Difficulty = Literal["trivial", "standard", "complex"]
DIFFICULTIES: tuple[Difficulty, ...] = ("trivial", "standard", "complex")

TaskType = Literal[
    "classification",
    "extraction",
    "formatting",
    "translation",
    "summarisation",
    "rewriting",
    "question_answering",
    "code_completion",
    "code_generation",
    "code_review",
    "tool_call",
    "reasoning",
    "long_form",
    "analysis",
    "multimodal",
    "other",
]


Stakes = Literal["low", "normal", "high"]
Latency = Literal["interactive", "background", "batch"]


class Sensitivity(IntEnum):
    """How far the content of a request may travel. Ordered: compare, never match strings."""

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2

    @classmethod
    def parse(cls, name: str) -> "Sensitivity":
        """The class called `name`, in any case. Raises KeyError if there is none."""
        return cls[name.upper()]

    @property
    def label(self) -> str:
        """The lower-case name used in configs, headers and logs."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class ContextReading:
    """Context pressure: tokens that go in and tokens asked to come out.

    `longest`: tokens of the longest of several inputs, where a lane reads one after the other.
    """

    input_tokens: int
    output_tokens: int
    longest: int | None = None


@dataclass(frozen=True, slots=True)
class ConstraintReading:
    """Constraint density: how many strict, simultaneous demands the prompt makes.

    density  the likely number of demands, before it is rounded to `count`
    """

    count: int
    kinds: tuple[str, ...]
    density: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason for a class: which detector and rule fired, and where. Never the value."""

    detector: str
    rule: str
    level: Sensitivity
    path: str


@dataclass(frozen=True, slots=True)
class SensitivityReading:
    """The highest class found, and every finding that supports it.

    `set_aside` are findings that do not count, because the caller's key may do without their rules.
    """

    level: Sensitivity
    findings: tuple[Finding, ...]
    set_aside: tuple[Finding, ...] = ()

    def without(self, rules: frozenset[str]) -> "SensitivityReading":
        """What is left when findings of these rules do not count."""
        aside = tuple(found for found in self.findings if found.rule in rules)
        if not aside:
            return self
        left = tuple(found for found in self.findings if found.rule not in rules)
        level = max((found.level for found in left), default=Sensitivity.PUBLIC)
        return SensitivityReading(level, left, aside)


@dataclass(frozen=True, slots=True)
class ScoutReading:
    """How hard the request is. The three probabilities sum to 1.

    `confidence` is the calibrated probability that `difficulty` is right.
    `source` is who judged: the in-process pre-scout, the Scout deployment, or nobody
    (`none`: every judge failed, the probabilities are the prior).
    `gain` is the calibrated probability that a strong model is right where a weak one is wrong,
    `unfamiliar` how unlike its training data the prompt is (0 to 1): the more, the closer `gain` is to the
    prior. Both are the pre-scout's, whoever judged the rest.
    """

    trivial: float
    standard: float
    complex: float
    confidence: float
    source: Literal["pre-scout", "scout", "none"]
    gain: float = 0.0
    unfamiliar: float = 1.0

    @property
    def difficulty(self) -> Difficulty:
        """The most probable class; the harder one wins a tie."""
        return max(reversed(DIFFICULTIES), key=lambda name: getattr(self, name))


@dataclass(frozen=True, slots=True)
class TaskReading:
    """What kind of work is asked for."""

    task: TaskType
    confidence: float


@dataclass(frozen=True, slots=True)
class BudgetReading:
    """What may still be spent, in micro-dollars, as it was last seen.

    share     used part of the tightest limit, 1 and more is all of it; `tightest` names it
    costs     what each lane will likely cost, 0 for our own
    refused   lanes that may cost more than is left, and why
    down      nothing can be written down, so nothing may be spent
    ceiling   the most that this request may cost, None without a limit of its own
    """

    share: float = 0.0
    tightest: str = ""
    costs: tuple[tuple[str, int], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    down: bool = False
    ceiling: int | None = None


@dataclass(frozen=True, slots=True)
class SessionReading:
    """Who answered last in the session that a request belongs to.

    rule      the rule that had placed it there
    known_by  the client named the session in a header, or it is a tool loop that was begun here
    """

    lane: str
    rule: str
    known_by: Literal["header", "tools"]


@dataclass(frozen=True, slots=True)
class Signals:
    """Everything known about one request at the moment of decision."""

    context: ContextReading
    constraints: ConstraintReading
    sensitivity: SensitivityReading
    scout: ScoutReading
    task: TaskReading
    budget: BudgetReading = BudgetReading()
    session: SessionReading | None = None
