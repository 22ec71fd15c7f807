"""A request as the policy sees it, made from values instead of a body: what proofs and comparisons decide on."""

from serve.request import Capability, RequestView
from serve.signals.readings import (
    BudgetReading,
    ConstraintReading,
    ContextReading,
    Difficulty,
    ScoutReading,
    Sensitivity,
    SensitivityReading,
    Signals,
    TaskReading,
)

OUTPUT_TOKENS = 512


def signals(
    *,
    level: Sensitivity = Sensitivity.PUBLIC,
    input_tokens: int = 1,
    constraints: int = 0,
    difficulty: Difficulty = "standard",
    confidence: float = 1.0,
    gain: float = 0.0,
    task: TaskReading = TaskReading("other", 1.0),  # noqa: B008 - frozen
    share: float = 0.0,
    ceiling: int | None = None,
) -> Signals:
    """Readings with these values; everything else is ordinary."""
    return Signals(
        ContextReading(input_tokens, OUTPUT_TOKENS),
        ConstraintReading(constraints, ()),
        SensitivityReading(level, ()),
        scout(difficulty, confidence, gain),
        task,
        BudgetReading(share=share, tightest="a budget", ceiling=ceiling),
    )


def scout(difficulty: Difficulty, confidence: float, gain: float, unfamiliar: float = 0.0) -> ScoutReading:
    """A judgement that says `difficulty`, as sure as `confidence`."""
    easy, usual, hard = (float(difficulty == name) for name in ("trivial", "standard", "complex"))
    return ScoutReading(easy, usual, hard, confidence, "pre-scout", gain, unfamiliar)


def view(
    *,
    tools: bool = False,
    structured: bool = False,
    needs: frozenset[Capability] = frozenset(),
    output_tokens: int | None = None,
) -> RequestView:
    """A request without text."""
    return RequestView((), (), "", "", "", ("a_tool",) if tools else (), structured, needs, output_tokens)
