"""What live answers come to: steps, thresholds, gains and their intervals. Pure."""

from pathlib import Path

import httpx2
import numpy as np
import pytest

from bench.quality import live
from bench.quality.intervals import of_gain, of_share, resampled
from bench.quality.labelled import auc
from bench.quality.live import Told
from bench.quality.short import Short
from bench.quality.sureness import answered, figures, lowest
from bench.quality.tool_cases import Question
from bench.quality.tools_live import Ended, ended
from bench.quality.tools_live import figures as tool_figures

TASK = Question("q", "simple", [], {"f": {}}, (("f", {"a": [1]}),), {})
MESSAGE = {"tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}]}
CALL = {"choices": [{"message": MESSAGE, "finish_reason": "tool_calls"}]}


@pytest.mark.parametrize(
    ("status", "trail", "body", "step", "right"),
    [
        (200, (("t", "ok"),), CALL, "raw", True),
        (200, (("t", "ok"),), {"choices": [{"message": {"content": "no"}}]}, "raw", False),
        (200, (("t", "repaired"),), CALL, "repaired", True),
        (200, (("t", "invalid"), ("t", "reasked")), CALL, "reasked", True),
        (200, (("t", "invalid"), ("t", "invalid"), ("cloud", "ok")), CALL, "escalated", False),
        (502, (("t", "invalid"), ("t", "invalid")), {"error": {}}, "escalated", False),
        (400, (), {"error": {}}, "refused", False),
    ],
)
def test_the_step_at_which_an_answer_ended(
    status: int, trail: tuple[tuple[str, str], ...], body: dict[str, object], step: str, right: bool
) -> None:
    """What another lane answered is not this model's work, right or not."""
    found = ended(TASK, Told(status, trail, body))
    assert (found.step, found.right) == (step, right)


def test_shares_add_up_along_the_steps() -> None:
    rows = [
        Ended("1", "simple", "raw", 1, True, False),
        Ended("2", "simple", "raw", 0, False, False),
        Ended("3", "simple", "reasked", 1, True, False),
        Ended("4", "simple", "escalated", 0, False, False),
    ]
    found = tool_figures(rows)
    assert found["valid_after"] == {"raw": 0.5, "repaired": 0.5, "reasked": 0.75}
    assert found["right_after"] == {"raw": 0.25, "repaired": 0.25, "reasked": 0.5}
    assert (found["no_call"], found["reask_mends"]) == (1, 0.5)


def test_the_lowest_threshold_keeps_the_wanted_share() -> None:
    sure = [(0.9, True)] * 30 + [(0.5, True)] * 8 + [(0.5, False)] * 2 + [(0.1, False)] * 40
    assert lowest(sure, 0.95) == 0.5
    assert lowest(sure, 0.97) == 0.9
    assert lowest(sure[30:], 0.9) is None
    assert lowest(sure[:19], 0.9) is None, "19 answers are too few to tell"


def test_confidence_counts_only_answers_that_tell_it() -> None:
    task = Short("x", "field", "extraction", "?", "Ann")
    told = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Ann"},
                "finish_reason": "stop",
                "logprobs": {"content": [{"token": "Ann", "logprob": 0.0}]},
            }
        ],
    }
    found = answered(task, Told(200, (), told))
    assert found is not None
    assert found.right
    assert (found.level["min"], found.tokens) == (1.0, 1)
    assert answered(task, Told(502, (), {})) is None
    one = figures([found], 0.9)
    assert one["measures"]["min"] == {"auc": None, "threshold": None}
    assert set(one["by_tokens"]) == {"1"}


@pytest.mark.parametrize(
    ("kind", "gold", "said", "right"),
    [
        ("field", "Ann Lee", ' "ann  lee".', True),
        ("field", "Ann Lee", "The name is Ann Lee", False),
        ("field", "none", "None.", True),
        ("choice", "B", "B. Rome", True),
        ("choice", "B", "(B)", True),
        ("choice", "B", "Because", False),
        ("choice", "B", "C", False),
    ],
)
def test_right_is_the_answer_and_nothing_else(kind: str, gold: str, said: str, right: bool) -> None:
    assert Short("x", kind, "extraction", "?", gold).right(said) is right


def test_a_sample_is_spread_as_evenly_as_the_sets_allow() -> None:
    assert live.spread({"a": 2, "b": 100, "c": 100}, 20) == {"a": 2, "b": 9, "c": 9}
    assert live.spread({"a": 2, "b": 1}, 20) == {"a": 2, "b": 1}


def test_intervals_hold_their_figure() -> None:
    assert of_share([]) is None
    assert of_share([True] * 8 + [False] * 2) == (0.8, 0.4902, 0.9433)
    assert of_gain([True, False], [True, False]) == (0.0, 0.0, 0.0)
    gain, low, high = of_gain([False] * 40, [True] * 20 + [False] * 20)
    assert low < gain == 0.5 < high
    levels, right = np.array([0.1, 0.2, 0.8, 0.9] * 10), np.array([False, False, True, True] * 10)
    assert resampled([levels, right], auc) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("said", "again", "asked", "ends"),
    [
        ([(503, "0"), (503, "0"), (200, "")], 3, 3, 200),
        ([(503, "0")] * 9, 3, 4, 503),
        ([(503, "0")] * 9, 0, 1, 503),
        ([(503, "soon")], 3, 1, 503),
        ([(500, "0")], 3, 1, 500),
    ],
    ids=["until it is answered", "so often and no more", "never", "nobody says when", "another failure"],
)
async def test_who_says_when_is_asked_again(
    said: list[tuple[int, str]], again: int, asked: int, ends: int
) -> None:
    seen: list[httpx2.Request] = []

    def play(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        status, when = said[len(seen) - 1]
        return httpx2.Response(
            status, headers={"retry-after": when}, text="<html>" if status != 200 else "{}"
        )

    transport = httpx2.MockTransport(play)
    how = live.Asking(Path("none.yaml"), "local-tools", "http://127.0.0.1:9", again=again)
    async with httpx2.AsyncClient(base_url="http://127.0.0.1:9", transport=transport) as client:
        told = await live.told(client, how, {})
    assert (len(seen), told.status, told.body) == (asked, ends, {})


@pytest.mark.parametrize(
    ("status", "trail", "step"),
    [
        (503, (("t", "invalid"), ("t", "full")), "failed"),
        (504, (), "failed"),
        (502, (("t", "invalid"), ("t", "timeout")), "failed"),
        (502, (("t", "invalid"),), "escalated"),
    ],
)
def test_what_the_product_failed_is_no_answer_that_was_handed_on(
    status: int, trail: tuple[tuple[str, str], ...], step: str
) -> None:
    row = ended(TASK, Told(status, trail, {}))
    assert (row.step, row.right) == (step, False)
    assert tool_figures([row])["steps"][step] == {"n": 1, "right": 0}
