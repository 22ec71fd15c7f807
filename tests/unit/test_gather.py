"""Signals that fail or are late become safe readings, and the Scout is waited for only where it counts."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from serve.config import SignalsConfig
from serve.request import Leaf, RequestView
from serve.signals import constraints, context, sensitivity
from serve.signals.gather import Judges, gather
from serve.signals.readings import ConstraintReading, ScoutReading, Sensitivity, Signals, TaskReading
from serve.signals.scout import NOBODY, Judgement

FOREVER = 3600.0
QUICK = SignalsConfig(scout_deadline_s=1, deadline_s=1, inline_chars=0)
PATIENT = SignalsConfig(scout_deadline_s=FOREVER, deadline_s=FOREVER)
TEXT = "Why is the sky blue?"
UNSURE: Judgement = (ScoutReading(0.3, 0.4, 0.3, 0.4, "pre-scout"), TaskReading("other", 0.3))
SURE: Judgement = (ScoutReading(0.0, 1.0, 0.0, 0.75, "pre-scout"), TaskReading("other", 0.3))
HARD: Judgement = (ScoutReading(0.0, 0.1, 0.9, 0.9, "scout"), TaskReading("reasoning", 0.9))


def view(text: str = TEXT, **more: Any) -> RequestView:
    leaves = (Leaf("messages[0].role", "user"), Leaf("messages[0].content", text))
    return replace(RequestView(leaves, (), text, "", text, (), False, frozenset(), None), **more)


@dataclass(slots=True)
class Pre:
    """The judge in this process."""

    says: Judgement | Exception = UNSURE
    read: list[str] = field(default_factory=list)

    def score(self, text: str) -> Judgement:
        self.read.append(text)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@dataclass(slots=True)
class Far:
    """The judge elsewhere: answers after a while, fails, or never comes."""

    says: Judgement | Exception = HARD
    after_s: float = 0
    read: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    async def judge(self, text: str) -> Judgement:
        self.read.append(text)
        try:
            await asyncio.sleep(self.after_s)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("answered")
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def always(signals: Signals) -> bool:
    return True


async def gathered(
    pre: Pre | None = None,
    far: Far | None = None,
    config: SignalsConfig = PATIENT,
    matters: Callable[[Signals], bool] = always,
    **seen: Any,
) -> Signals:
    made = await gather(view(**seen), Judges(pre or Pre(), far), config, matters)
    await nothing_runs_on()
    return made


async def nothing_runs_on() -> None:
    """A cancelled task ends within a few turns of the loop."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def break_(monkeypatch: pytest.MonkeyPatch, module: Any, how: BaseException | threading.Event) -> None:
    def read(view: RequestView) -> Any:
        if isinstance(how, BaseException):
            raise how
        how.wait(30)
        raise AssertionError("nobody may wait for this")

    read.__module__ = module.__name__
    monkeypatch.setattr(module, "read", read)


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """A signal that waits for this does not come back before the test has ended."""
    event = threading.Event()
    yield event
    event.set()


FAILURES = [
    ValueError("xyzzy"),
    MemoryError(),
    RecursionError(),
    KeyError("xyzzy"),
    AssertionError(),
    OSError(),
]
failures = pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
lengths = pytest.mark.parametrize("config", [PATIENT, QUICK], ids=["inline", "off-the-loop"])


@failures
@lengths
async def test_a_sensitivity_that_fails_is_confidential(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, config: SignalsConfig
) -> None:
    break_(monkeypatch, sensitivity, failure)
    made = (await gathered(config=config)).sensitivity
    assert made.level is Sensitivity.CONFIDENTIAL
    assert [finding.rule for finding in made.findings] == ["signal_failed"]


@failures
@lengths
async def test_a_context_that_fails_is_long(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, config: SignalsConfig
) -> None:
    text = "Zürich \U0001f600" * 20
    truth = context.read(view(text)).input_tokens
    break_(monkeypatch, context, failure)
    made = (await gathered(config=config, text=text, output_tokens=77)).context
    assert made.input_tokens >= max(truth - 20, len(text.encode()))
    assert made.output_tokens == 77


@failures
@lengths
async def test_a_count_of_constraints_that_fails_is_none(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, config: SignalsConfig
) -> None:
    break_(monkeypatch, constraints, failure)
    assert (await gathered(config=config)).constraints == ConstraintReading(0, ())


async def test_one_signal_that_fails_leaves_the_others_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await gathered()
    break_(monkeypatch, constraints, ValueError())
    assert replace(await gathered(), constraints=whole.constraints) == whole


@pytest.mark.parametrize("module", [sensitivity, context, constraints], ids=lambda module: module.__name__)
async def test_a_signal_that_is_late_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, stuck: threading.Event, module: Any
) -> None:
    break_(monkeypatch, module, stuck)
    try:
        made = await gathered(config=QUICK)
    finally:
        stuck.set()
    assert (made.sensitivity.level is Sensitivity.CONFIDENTIAL) is (module is sensitivity)
    assert (made.context.input_tokens >= len(TEXT)) is (module is context)


async def test_a_failure_is_logged_by_kind_and_without_its_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    break_(monkeypatch, sensitivity, ValueError("xyzzy"))
    await gathered(far=Far(ValueError("xyzzy")), pre=Pre(ValueError("xyzzy")))
    assert "ValueError" in caplog.text
    assert "xyzzy" not in caplog.text


# The Scout.


async def test_the_scout_is_asked_when_the_pre_scout_is_unsure_and_its_word_counts() -> None:
    far = Far()
    made = await gathered(far=far)
    assert (made.scout, made.task) == HARD
    assert far.read == [TEXT]


async def test_the_scout_is_not_asked_when_the_pre_scout_is_sure() -> None:
    far = Far()
    made = await gathered(Pre(SURE), far)
    assert (made.scout, made.task) == SURE
    assert far.read == []


@pytest.mark.parametrize(
    ("made_far", "ended"),
    [
        pytest.param(lambda: Far(after_s=FOREVER), ["cancelled"], id="late"),
        pytest.param(lambda: Far(ValueError()), ["answered"], id="broken"),
        pytest.param(lambda: Far(ConnectionError()), ["answered"], id="gone"),
        pytest.param(lambda: Far(TimeoutError()), ["answered"], id="a-time-out-of-its-own"),
    ],
)
async def test_a_scout_that_is_late_or_dead_leaves_the_pre_scouts_judgement(
    made_far: Callable[[], Far], ended: list[str]
) -> None:
    far, config = made_far(), SignalsConfig(scout_deadline_s=0.02 if "cancelled" in ended else 5)
    made = await gathered(far=far, config=config)
    assert (made.scout, made.task) == UNSURE
    assert far.ended == ended


async def test_a_scout_that_cannot_change_the_decision_is_cancelled() -> None:
    far, asked = Far(after_s=FOREVER), list[Signals]()

    def matters(signals: Signals) -> bool:
        asked.append(signals)
        return False

    made = await gathered(far=far, matters=matters)
    assert (made.scout, made.task) == UNSURE
    assert asked == [made]
    assert "answered" not in far.ended


async def test_a_client_that_leaves_takes_the_scout_along() -> None:
    far = Far(after_s=FOREVER)
    task = asyncio.create_task(gathered(far=far))
    while not far.read:  # noqa: ASYNC110 - the scout has no event to wait for
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await nothing_runs_on()
    assert far.ended == ["cancelled"]


async def test_a_question_of_whether_it_matters_that_fails_takes_the_scout_along() -> None:
    def matters(signals: Signals) -> bool:
        raise PermissionError("no lane is permitted")

    far = Far(after_s=FOREVER)
    with pytest.raises(PermissionError):
        await gather(view(), Judges(Pre(), far), PATIENT, matters)
    await nothing_runs_on()


@pytest.mark.parametrize(
    "failure",
    [
        ValueError(),
        ZeroDivisionError(),
        IndexError(),
        KeyError(),
        RuntimeError(),
        MemoryError(),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_pre_scout_that_fails_is_nobody_and_the_scout_is_asked(failure: Exception) -> None:
    assert ((await gathered(Pre(failure))).scout, NOBODY[0].source) == (NOBODY[0], "none")
    assert (await gathered(Pre(failure), Far())).scout == HARD[0]


@pytest.mark.parametrize(
    ("seen", "task"),
    [
        pytest.param({"tool_names": ("f",)}, "tool_call", id="tools"),
        pytest.param({"needs": frozenset({"vision"})}, "multimodal", id="image"),
        pytest.param({"needs": frozenset({"audio", "tools"}), "tool_names": ("f",)}, "multimodal", id="audio"),
        pytest.param({}, "reasoning", id="neither"),
    ],
)  # fmt: skip
async def test_the_structure_of_a_request_outweighs_every_guess_at_its_task(
    seen: dict[str, Any], task: str
) -> None:
    assert (await gathered(far=Far(), **seen)).task.task == task


async def test_the_judges_read_the_last_question_or_else_the_whole_conversation() -> None:
    pre = Pre(SURE)
    await gathered(pre)
    await gathered(pre, prompt="", conversation="all of it")
    assert pre.read == [TEXT, "all of it"]
