"""Promises of the decision: who may answer, in which order, and which code says why."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest

from serve.config import Config
from serve.decision import Decision, LaneState
from serve.errors import EgressDenied, HttpError, NoLaneAble, NoLaneAvailable
from serve.policy import decide, scout_matters
from serve.request import Capability, RequestView
from serve.signals.readings import (
    BudgetReading,
    ConstraintReading,
    ContextReading,
    ScoutReading,
    Sensitivity,
    SensitivityReading,
    Signals,
    TaskReading,
    TaskType,
)
from serve.wish import Wish

CAPABILITIES: tuple[Capability, ...] = get_args(Capability)
BECAUSE = "a reason of the tests"


def lane(name: str, location: str = "device", **more: Any) -> dict[str, Any]:
    raw = {"name": name, "kind": "openai", "model": name, "location": location, "context": 8192, "tier": 1}
    return raw | {"base_url": "http://127.0.0.1:9/v1", "capabilities": ["tools", "json_schema"]} | more


def rule(name: str, *prefer: str, **when: Any) -> dict[str, Any]:
    return {"name": name, "prefer": list(prefer), "when": when, "because": BECAUSE}


def config(*rules: dict[str, Any], lanes: list[dict[str, Any]] | None = None, **policy: Any) -> Config:
    """Two lanes here, one in Europe and one anywhere, unless told otherwise."""
    usual = [lane("here"), lane("tools"), lane("europe", "eu", tier=2), lane("world", "global", tier=3)]
    chosen = [*rules] or [rule("local_first", "here", "tools")]
    return Config.model_validate({"lanes": lanes or usual, "policy": {"rules": chosen} | policy})


def signals(level: Sensitivity = Sensitivity.PUBLIC, **more: Any) -> Signals:
    scout = ScoutReading(0.2, 0.6, 0.2, 0.5, "pre-scout")
    plain = Signals(
        ContextReading(100, 512),
        ConstraintReading(0, ()),
        SensitivityReading(level, ()),
        scout,
        TaskReading("other", 0.5),
    )
    return replace(plain, **more)


def view(**more: Any) -> RequestView:
    plain = RequestView((), (), "", "", "", (), False, frozenset(), None)
    return replace(plain, **more)


def ready(settings: Config, **states: LaneState) -> dict[str, LaneState]:
    return {one.name: states.get(one.name, LaneState.READY) for one in settings.lanes}


def a_decision(
    settings: Config, wish: Wish | None = None, states: Mapping[str, LaneState] | None = None
) -> Decision:
    return decide(signals(), view(), wish or Wish(), ready(settings, **states or {}), settings)


# Rules and wishes, one by one.


@pytest.mark.parametrize(
    ("when", "change", "seen", "holds"),
    [
        pytest.param({"input_tokens_over": 100}, {}, {}, False, id="tokens-at-the-limit"),
        pytest.param({"input_tokens_over": 99}, {}, {}, True, id="tokens-over"),
        pytest.param(
            {"constraints_over": 3}, {"constraints": ConstraintReading(3, ())}, {}, False, id="three"
        ),
        pytest.param({"constraints_over": 3}, {"constraints": ConstraintReading(4, ())}, {}, True, id="four"),
        pytest.param({"difficulty": ["complex"]}, {}, {}, False, id="not-complex"),
        pytest.param({"difficulty": ["complex", "standard"]}, {}, {}, True, id="one-of-two"),
        pytest.param({"confidence_at_least": 0.5}, {}, {}, True, id="just-sure-enough"),
        pytest.param({"confidence_at_least": 0.51}, {}, {}, False, id="not-sure-enough"),
        pytest.param({"task": ["other"]}, {}, {}, True, id="task"),
        pytest.param({"task": ["tool_call"]}, {}, {}, False, id="another-task"),
        pytest.param({"tools": True}, {}, {}, False, id="no-tools"),
        pytest.param({"tools": True}, {}, {"tool_names": ("f",)}, True, id="tools"),
        pytest.param({"tools": False}, {}, {"tool_names": ("f",)}, False, id="tools-unwanted"),
        pytest.param({"structured": True}, {}, {"structured": True}, True, id="structured"),
        pytest.param({"structured": False}, {}, {"structured": True}, False, id="structured-unwanted"),
        pytest.param({"tools": False, "constraints_over": 0}, {}, {}, False, id="all-must-hold"),
    ],
)
def test_a_rule_fires_exactly_when_all_its_conditions_hold(
    when: dict[str, Any], change: dict[str, Any], seen: dict[str, Any], holds: bool
) -> None:
    settings = config(rule("asked", "world", **when), rule("default", "here"))
    made = decide(signals(**change), view(**seen), Wish(), ready(settings), settings)
    assert (made.reason, made.chain[0]) == (("asked", "world") if holds else ("default", "here"))


COSTS = (("world", 900), ("europe", 300), ("here", 0), ("tools", 20))
CHEAPEST = ("here", "tools", "europe", "world")
SPENT = "key me on 2026-11-21"


@pytest.mark.parametrize(
    ("share", "wish", "chain", "reasons"),
    [
        pytest.param(0.0, Wish(), ["world", "here", "europe", "tools"], ["dear"], id="nothing-used"),
        pytest.param(0.8499, Wish(), ["world", "here", "europe", "tools"], ["dear"], id="just-below"),
        pytest.param(0.85, Wish(), list(CHEAPEST), ["dear", "budget_downgrade"], id="at-85"),
        pytest.param(1.2, Wish(), list(CHEAPEST), ["dear", "budget_downgrade"], id="overdrawn"),
        pytest.param(0.99, Wish("world"), ["world"], ["pinned"], id="asked-for-by-name"),
        pytest.param(
            0.9,
            Wish(prefer="cloud"),
            list(CHEAPEST),
            ["wish_cloud", "dear", "budget_downgrade"],
            id="wished-for",
        ),
    ],
)
def test_from_85_percent_of_a_budget_on_what_costs_less_goes_first(
    share: float, wish: Wish, chain: list[str], reasons: list[str]
) -> None:
    """The default threshold; nothing is shut out by it, and a lane asked for by name stays the one."""
    settings = config(rule("dear", "world", "here", "europe"))
    used = signals(budget=BudgetReading(share=share, tightest=SPENT, costs=COSTS))
    made = decide(used, view(), wish, ready(settings), settings)
    assert (list(made.chain), [reason.code for reason in made.reasons]) == (chain, reasons)
    told = [reason.text for reason in made.reasons if reason.code == "budget_downgrade"]
    assert told == [f"{share:.0%} of {SPENT} is used: lanes that cost less come first."][: len(told)]


def test_the_share_that_makes_lanes_cheaper_is_configured() -> None:
    raw = {"lanes": [lane("here"), lane("world", "global")], "budgets": {"downgrade_at": 0.5}}
    settings = Config.model_validate(raw | {"policy": {"rules": [rule("dear", "world", "here")]}})
    firsts = [
        decide(
            signals(budget=BudgetReading(share=share, costs=COSTS)), view(), Wish(), ready(settings), settings
        ).chain[0]
        for share in (0.49, 0.5)
    ]
    assert firsts == ["world", "here"]


def test_a_full_lane_that_costs_less_still_waits_behind_one_that_is_free() -> None:
    settings = config(rule("dear", "world", "here", "europe"))
    used = signals(budget=BudgetReading(share=0.9, tightest=SPENT, costs=COSTS))
    made = decide(used, view(), Wish(), ready(settings, here=LaneState.FULL), settings)
    assert made.chain == ("tools", "europe", "world", "here")


@pytest.mark.parametrize(
    ("gain", "unfamiliar", "reasons"),
    [
        pytest.param(0.6, 0.0, ["likely_gain"], id="at-the-threshold"),
        pytest.param(0.59, 0.4, ["default"], id="below"),
        pytest.param(0.7, 0.5, ["likely_gain", "unfamiliar_prompt"], id="and-unfamiliar"),
    ],
)
def test_a_rule_on_the_likely_gain_says_when_it_went_by_the_prior(
    gain: float, unfamiliar: float, reasons: list[str]
) -> None:
    settings = config(rule("likely_gain", "world", gain_at_least=0.6), rule("default", "here"))
    seen = signals()
    judged = replace(seen, scout=replace(seen.scout, gain=gain, unfamiliar=unfamiliar))
    made = decide(judged, view(), Wish(), ready(settings), settings)
    assert [reason.code for reason in made.reasons] == reasons


def test_the_first_rule_that_holds_wins() -> None:
    settings = config(rule("first", "tools"), rule("second", "world"), rule("third", "here"))
    made = a_decision(settings)
    assert made.reason == "first"
    assert made.chain == ("tools", "here", "europe", "world")


@pytest.mark.parametrize(
    ("wish", "chain", "code"),
    [
        pytest.param(Wish(), ("here", "tools", "europe", "world"), "local_first", id="none"),
        pytest.param(
            Wish(prefer="cloud"), ("europe", "world", "here", "tools"), "wish_cloud", id="prefer-cloud"
        ),
        pytest.param(
            Wish(prefer="tier2"), ("europe", "world", "here", "tools"), "wish_tier2", id="prefer-tier2"
        ),
        pytest.param(
            Wish(prefer="tier3"), ("world", "here", "tools", "europe"), "wish_tier3", id="prefer-tier3"
        ),
        pytest.param(Wish(pin="tools"), ("tools",), "pinned", id="pin"),
        pytest.param(Wish(pin="tools", prefer="cloud"), ("tools",), "pinned", id="a-pin-beats-prefer"),
        pytest.param(
            Wish(prefer="cloud", at_least=Sensitivity.INTERNAL),
            ("europe", "here", "tools"),
            "wish_cloud",
            id="stricter-by-wish",
        ),
    ],
)
def test_a_wish_moves_lanes_to_the_front_and_never_adds_one(
    wish: Wish, chain: tuple[str, ...], code: str
) -> None:
    made = a_decision(config(), wish)
    assert made.chain == chain
    assert made.reason == code


@pytest.mark.parametrize(
    ("states", "codes", "chain"),
    [
        pytest.param({"here": LaneState.FULL}, ["overflow", "local_first"], "tools", id="full"),
        pytest.param({"here": LaneState.DOWN}, ["lane_down", "local_first"], "tools", id="down"),
        pytest.param({"here": LaneState.OFF}, ["lane_off", "local_first"], "tools", id="off"),
        pytest.param({"europe": LaneState.DOWN}, ["local_first"], "here", id="a-later-lane-down"),
    ],
)
def test_the_first_reason_says_why_the_wanted_lane_did_not_go_first(
    states: dict[str, LaneState], codes: list[str], chain: str
) -> None:
    made = a_decision(config(), states=states)
    assert [reason.code for reason in made.reasons] == codes
    assert made.chain[0] == chain


@pytest.mark.parametrize(
    ("read", "seen", "code", "excluded"),
    [
        pytest.param(signals(Sensitivity.INTERNAL), {}, "sensitivity_internal", "class", id="internal"),
        pytest.param(signals(Sensitivity.CONFIDENTIAL), {}, "sensitivity_confidential", "class", id="secret"),
        pytest.param(signals(), {"output_tokens": 8093}, "lane_context", "context", id="too-long"),
        pytest.param(signals(), {"needs": {"vision"}}, "lane_cannot", "cannot:vision", id="cannot-see"),
    ],
)
def test_the_first_reason_says_what_barred_the_wanted_lane(
    read: Signals, seen: dict[str, Any], code: str, excluded: str
) -> None:
    lanes = [lane("world", "global"), lane("here", context=10_000, capabilities=list(CAPABILITIES))]
    settings = config(rule("cloud_first", "world"), lanes=lanes)
    made = decide(read, view(**seen), Wish(), ready(settings), settings)
    assert made.reason == code
    assert made.chain == ("here",)
    assert [(item.lane, item.code) for item in made.excluded] == [("world", excluded)]
    assert made.reasons[-1].text == BECAUSE


@pytest.mark.parametrize(
    ("read", "seen", "wish", "states", "error", "code"),
    [
        pytest.param(
            signals(Sensitivity.CONFIDENTIAL),
            {},
            Wish(pin="world"),
            {},
            EgressDenied,
            "egress_denied",
            id="secret-pinned-to-the-cloud",
        ),
        pytest.param(
            signals(Sensitivity.CONFIDENTIAL),
            {"needs": {"vision"}},
            Wish(),
            {},
            EgressDenied,
            "egress_denied",
            id="secret-that-only-the-cloud-can-do",
        ),
        pytest.param(
            signals(Sensitivity.CONFIDENTIAL),
            {},
            Wish(pin="world"),
            {"world": LaneState.OFF},
            EgressDenied,
            "egress_denied",
            id="secret-pinned-to-a-lane-that-is-off",
        ),
        pytest.param(
            signals(),
            {"output_tokens": 10**6},
            Wish(),
            {},
            NoLaneAble,
            "context_length_exceeded",
            id="too-long",
        ),
        pytest.param(
            signals(), {"needs": {"audio"}}, Wish(), {}, NoLaneAble, "no_lane_able", id="nobody-can-hear"
        ),
        pytest.param(
            signals(),
            {},
            Wish(),
            dict.fromkeys(("here", "tools", "europe", "world"), LaneState.OFF),
            NoLaneAvailable,
            "no_lane_available",
            id="all-off",
        ),
        pytest.param(
            signals(),
            {},
            Wish(pin="here"),
            {"here": LaneState.OFF},
            NoLaneAvailable,
            "no_lane_available",
            id="pinned-to-a-lane-that-is-off",
        ),
        pytest.param(
            signals(Sensitivity.CONFIDENTIAL),
            {},
            Wish(),
            dict.fromkeys(("here", "tools"), LaneState.OFF),
            NoLaneAvailable,
            "no_lane_available",
            id="secret-and-all-local-lanes-off",
        ),
    ],
)
def test_when_nobody_may_can_or_could_answer_the_error_says_which(
    read: Signals,
    seen: dict[str, Any],
    wish: Wish,
    states: Mapping[str, LaneState],
    error: type[HttpError],
    code: str,
) -> None:
    lanes = [lane("here"), lane("tools"), lane("europe", "eu"), lane("world", "global")]
    for one in lanes[2:]:
        one["capabilities"] = ["tools", "json_schema", "vision"]
    settings = config(lanes=lanes)
    with pytest.raises(error) as raised:
        decide(read, view(**seen), wish, ready(settings, **states), settings)
    assert raised.value.code == code


@pytest.mark.parametrize(("asked", "fits"), [(8092, True), (8093, False)])
def test_a_lane_may_be_filled_to_the_last_token(asked: int, fits: bool) -> None:
    settings = config(lanes=[lane("here"), lane("tools", context=10_000)])
    made = decide(signals(), view(output_tokens=asked), Wish(), ready(settings), settings)
    assert ("here" in made.chain) is fits


def test_a_lane_that_is_down_or_full_is_still_a_last_resort() -> None:
    settings = config()
    worst = {"here": LaneState.DOWN, "tools": LaneState.FULL, "europe": LaneState.OFF, "world": LaneState.OFF}
    assert a_decision(settings, states=worst).chain == ("tools", "here")


def test_a_lane_preferred_twice_is_tried_once() -> None:
    assert a_decision(config(rule("default", "here", "here"))).chain.count("here") == 1


@pytest.mark.parametrize("needs", [{"vision"}, {"tools", "vision"}])
def test_when_the_only_able_lane_is_off_trying_again_will_not_help(needs: set[str]) -> None:
    settings = config(lanes=[lane("here"), lane("tools", capabilities=["tools", "vision"])])
    states = ready(settings, tools=LaneState.OFF)
    with pytest.raises(NoLaneAble, match="switched off"):
        decide(signals(), view(needs=needs), Wish(), states, settings)


# Whose answers a person must see first.


def review(name: str, **when: Any) -> dict[str, Any]:
    return {"name": name, "when": when, "because": BECAUSE}


@pytest.mark.parametrize(
    ("when", "level", "more", "held"),
    [
        pytest.param({}, Sensitivity.PUBLIC, {}, True, id="everything"),
        pytest.param({"class_at_least": "internal"}, Sensitivity.PUBLIC, {}, False, id="below-the-class"),
        pytest.param({"class_at_least": "internal"}, Sensitivity.INTERNAL, {}, True, id="of-the-class"),
        pytest.param({"class_at_least": "internal"}, Sensitivity.CONFIDENTIAL, {}, True, id="above-it"),
        pytest.param(
            {"class_at_least": "internal", "task": ["analysis"]},
            Sensitivity.CONFIDENTIAL,
            {},
            False,
            id="another-task",
        ),
        pytest.param(
            {"task": ["analysis"]},
            Sensitivity.PUBLIC,
            {"task": TaskReading("analysis", 1)},
            True,
            id="the-task",
        ),
    ],
)
def test_a_review_is_demanded_exactly_when_its_conditions_hold(
    when: dict[str, Any], level: Sensitivity, more: dict[str, Any], held: bool
) -> None:
    settings = config(review=[review("seen", **when)])
    made = decide(signals(level, **more), view(), Wish(), ready(settings), settings)
    assert (made.review is not None) is held


def test_the_first_review_that_holds_says_why() -> None:
    settings = config(review=[review("first", tools=True), review("second"), review("third")])
    made = a_decision(settings)
    assert made.review is not None
    assert (made.review.code, made.review.text) == ("second", BECAUSE)


def test_a_class_that_was_asked_for_is_held_like_one_that_was_found() -> None:
    settings = config(review=[review("seen", class_at_least="confidential")])
    assert a_decision(settings).review is None
    assert a_decision(settings, Wish(at_least=Sensitivity.CONFIDENTIAL)).review is not None


def test_no_wish_and_no_full_lane_takes_a_review_away() -> None:
    settings = config(review=[review("seen")])
    for wish in (Wish(pin="world"), Wish(prefer="cloud"), Wish(lanes=frozenset({"here"}))):
        assert a_decision(settings, wish, {"here": LaneState.FULL}).review is not None


def test_another_opinion_matters_where_only_the_review_depends_on_it() -> None:
    asked = config(review=[review("seen", difficulty=["complex"])])
    for settings, matters in ((asked, True), (config(review=[review("seen")]), False)):
        assert scout_matters(signals(), view(), Wish(), ready(settings), settings) is matters


def _table(**rows: Any) -> dict[str, Any]:
    plain = {"tier": 1, "threshold": 0.4, "evidence": 7}
    return {"version": "t1", "tasks": dict.fromkeys(get_args(TaskType), plain) | rows}


@pytest.mark.parametrize(
    ("task", "sure", "gain", "chain", "row"),
    [
        pytest.param("other", 0.9, 0.0, ["here", "tools", "europe", "world"], "other", id="tier-1"),
        pytest.param("other", 0.9, 0.4, ["europe", "world", "here", "tools"], "other", id="raised-by-gain"),
        pytest.param(
            "code_review", 0.9, 0.9, ["europe", "world", "here", "tools"], "code_review", id="never-raised"
        ),
        pytest.param("code_review", 0.4, 0.0, ["here", "tools", "europe", "world"], "other", id="unsure"),
        pytest.param("analysis", 0.9, 0.9, ["world", "europe", "here", "tools"], "analysis", id="frontier"),
    ],
)
def test_the_row_of_the_task_says_which_tier_goes_first_and_the_reasons_say_which_row(
    task: TaskType, sure: float, gain: float, chain: list[str], row: str
) -> None:
    table = _table(code_review={"tier": 2}, analysis={"tier": 3, "threshold": 0.4})
    by_task = rule("by_task", "here") | {"tier": "table"}
    settings = config(by_task, table=table)
    seen = signals(task=TaskReading(task, sure))
    judged = replace(seen, scout=replace(seen.scout, gain=gain, unfamiliar=0.0))
    made = decide(judged, view(), Wish(), ready(settings), settings)
    assert list(made.chain) == chain
    assert [reason.code for reason in made.reasons] == ["by_task", f"row_{row}"]
    assert "routing table t1" in made.reasons[1].text


def test_another_opinion_on_the_task_matters_only_where_its_row_is_another() -> None:
    by_task = rule("by_task", "here") | {"tier": "table"}
    for rows, matters in (({}, False), ({"analysis": {"tier": 3}}, True)):
        settings = config(by_task, table=_table(**rows))
        assert scout_matters(signals(), view(), Wish(), ready(settings), settings) is matters


@pytest.mark.parametrize(
    ("when", "wish", "ceiling", "holds"),
    [
        pytest.param({"stakes": ["high"]}, Wish(stakes="high"), None, True, id="stakes"),
        pytest.param({"stakes": ["high"]}, Wish(), None, False, id="usual-stakes"),
        pytest.param({"latency": ["batch"]}, Wish(latency="batch"), None, True, id="latency"),
        pytest.param({"latency": ["batch"]}, Wish(), None, False, id="somebody-waits"),
        pytest.param({"ceiling_below_usd": 0.01}, Wish(), 9_999, True, id="below-the-ceiling"),
        pytest.param({"ceiling_below_usd": 0.01}, Wish(), 10_000, False, id="at-the-ceiling"),
        pytest.param({"ceiling_below_usd": 0.01}, Wish(), None, False, id="no-ceiling"),
    ],
)
def test_stakes_latency_and_ceiling_are_conditions(
    when: dict[str, Any], wish: Wish, ceiling: int | None, holds: bool
) -> None:
    settings = config(rule("asked", "world", **when), rule("default", "here"))
    seen = signals(budget=BudgetReading(ceiling=ceiling))
    made = decide(seen, view(), wish, ready(settings), settings)
    assert made.reason == ("asked" if holds else "default")


@pytest.mark.parametrize(
    ("tier", "table", "words"),
    [("table", None, "there is no table"), (1, _table(), "nothing would read it")],
    ids=["no-table", "unread"],
)
def test_a_table_and_its_reader_come_together(tier: object, table: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        config(rule("one", "here") | {"tier": tier}, table=table)
