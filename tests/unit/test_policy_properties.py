"""Properties of the decision over every configuration the loader accepts: above all, where secrets may go."""

from dataclasses import replace
from typing import Any, get_args

from hypothesis import example, given, settings
from hypothesis import strategies as st

from serve.config import ON_PREMISES, Config, Location
from serve.decision import Decision, LaneState
from serve.errors import EgressDenied, HttpError, NoLaneAble, NoLaneAvailable
from serve.policy import decide, scout_matters
from serve.request import Capability, RequestView
from serve.signals.readings import (
    DIFFICULTIES,
    ConstraintReading,
    ContextReading,
    ScoutReading,
    Sensitivity,
    SensitivityReading,
    Signals,
    TaskReading,
    TaskType,
)
from serve.wish import Preference, Wish
from tests.support.nightly import cases as how_many
from tests.unit.test_policy import config, lane, ready, rule, signals, view

LOCATIONS: tuple[Location, ...] = get_args(Location)
CAPABILITIES: tuple[Capability, ...] = get_args(Capability)
TASKS: tuple[TaskType, ...] = ("question_answering", "tool_call", "summarisation")
PREFERENCES: tuple[Preference, ...] = get_args(Preference)
QUICK = settings(deadline=None, max_examples=150)
MANY = settings(deadline=None, max_examples=500)
MOST = settings(deadline=None, max_examples=how_many(500, 100_000))


# What the loader accepts, and everything a decision is made of.


@st.composite
def configs(draw: st.DrawFn) -> Config:
    public = draw(st.sets(st.sampled_from(LOCATIONS), min_size=1))
    internal = {place for place in public if draw(st.booleans())}
    confidential = {place for place in internal & ON_PREMISES if draw(st.booleans())}
    names = [f"lane{i}" for i in range(draw(st.integers(1, 5)))]
    lanes = [
        lane(
            name,
            draw(st.sampled_from(sorted(public))),
            tier=draw(st.sampled_from([1, 2, 3])),
            context=draw(st.sampled_from([100, 5000, 100_000])),
            capabilities=sorted(draw(st.sets(st.sampled_from(CAPABILITIES)))),
            enabled=draw(st.sampled_from([True, True, True, False])),
        )
        for name in names
    ]
    orders = st.permutations(names).flatmap(lambda order: st.integers(1, len(names)).map(lambda n: order[:n]))
    rules = [
        rule(f"rule{i}", *draw(orders), **draw(conditions())) for i in range(draw(st.integers(0, 3)))
    ] + [rule("default", *draw(orders))]
    places = {"public": sorted(public), "internal": sorted(internal), "confidential": sorted(confidential)}
    return config(*rules, lanes=lanes, locations=places)


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "input_tokens_over": st.sampled_from([0, 99, 100, 4999]),
            "constraints_over": st.integers(0, 4),
            "difficulty": st.lists(st.sampled_from(DIFFICULTIES), min_size=1, unique=True),
            "confidence_at_least": st.sampled_from([0.0, 0.5, 0.9]),
            "task": st.lists(st.sampled_from(TASKS), min_size=1, unique=True),
            "tools": st.booleans(),
            "structured": st.booleans(),
        },
    )


scouts = st.builds(
    ScoutReading,
    *[st.floats(0, 1)] * 4,
    source=st.sampled_from(["pre-scout", "scout", "none"]),
)
readings = st.builds(
    Signals,
    st.builds(ContextReading, st.sampled_from([1, 100, 4999, 5000, 99_999, 200_000]), st.just(512)),
    st.builds(ConstraintReading, st.integers(0, 6), st.just(())),
    st.builds(SensitivityReading, st.sampled_from(Sensitivity), st.just(())),
    scouts,
    st.builds(TaskReading, st.sampled_from(TASKS), st.floats(0, 1)),
)
views = st.builds(
    view,
    tool_names=st.sampled_from([(), ("f",)]),
    structured=st.booleans(),
    needs=st.frozensets(st.sampled_from(CAPABILITIES), max_size=2),
    output_tokens=st.sampled_from([None, 1, 1000, 1_000_000]),
)

Case = tuple[Signals, RequestView, Wish, dict[str, LaneState], Config]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    settings = draw(configs())
    names = [one.name for one in settings.lanes]
    wish = Wish(
        draw(st.sampled_from([None, *names])),
        draw(st.sampled_from([None, *PREFERENCES])),
        draw(st.sampled_from(Sensitivity)),
    )
    states = {name: draw(st.sampled_from(LaneState)) for name in names}
    return draw(readings), draw(views), wish, states, settings


def outcome(case: Case) -> Decision | tuple[type[HttpError], str, str]:
    try:
        return decide(*case)
    except (EgressDenied, NoLaneAble, NoLaneAvailable) as error:
        return type(error), error.code, error.message


@MOST
@given(cases())
def test_confidential_data_has_no_lane_off_the_premises_whatever_is_wished(case: Case) -> None:
    """P11: 100,000 configurations, readings, wishes and loads in the nightly run, without a counter-example."""
    read, seen, wish, states, settings = case
    for secret in (
        (signals_of(read, Sensitivity.CONFIDENTIAL), seen, wish, states, settings),
        (read, seen, replace(wish, at_least=Sensitivity.CONFIDENTIAL), states, settings),
    ):
        made = outcome(secret)
        if isinstance(made, Decision):
            assert {settings.lane(name).location for name in made.chain} <= ON_PREMISES
            assert made.permit.level is Sensitivity.CONFIDENTIAL
            assert made.permit.locations <= ON_PREMISES


def signals_of(read: Signals, level: Sensitivity) -> Signals:
    return replace(read, sensitivity=SensitivityReading(level, ()))


@QUICK
@given(cases())
def test_the_same_inputs_give_the_same_decision_and_stay_as_they_were(case: Case) -> None:
    before = repr(case)
    assert outcome(case) == outcome(case)
    assert repr(case) == before


@MANY
@given(cases())
def test_every_lane_in_a_chain_is_permitted_able_and_switched_on(case: Case) -> None:
    read, seen, wish, states, settings = case
    made = outcome(case)
    if not isinstance(made, Decision):
        return
    level = max(read.sensitivity.level, wish.at_least)
    for name in made.chain:
        chosen = settings.lane(name)
        assert chosen.location in settings.policy.permits(level)
        assert read.context.input_tokens + (seen.output_tokens or 0) <= chosen.context
        assert seen.needs <= chosen.capabilities
        assert chosen.enabled
        assert states[name] is not LaneState.OFF
    assert made.permit.locations == settings.policy.permits(level)
    named = {item.lane for item in made.excluded}
    assert not named & set(made.chain)
    assert len(set(made.chain)) == len(made.chain)
    assert wish.pin in (None, *made.chain)
    if wish.pin is None:
        assert named | set(made.chain) == {one.name for one in settings.lanes}


@QUICK
@given(cases())
def test_a_ready_lane_goes_before_a_full_one_before_one_that_is_down_and_else_the_rule_orders(
    case: Case,
) -> None:
    read, seen, wish, states, settings = case
    made = outcome(case)
    if not isinstance(made, Decision):
        return
    assert [states[name] for name in made.chain] == sorted(states[name] for name in made.chain)
    calm = decide(read, seen, wish, dict.fromkeys(states, LaneState.READY), settings)
    for state in LaneState:
        alike = [name for name in made.chain if states[name] is state]
        assert alike == [name for name in calm.chain if name in alike]


@QUICK
@given(cases())
def test_a_stricter_class_never_opens_a_lane(case: Case) -> None:
    read, seen, wish, states, settings = case
    allowed: list[set[str]] = []
    for level in Sensitivity:
        made = outcome((signals_of(read, level), seen, replace(wish, at_least=level), states, settings))
        allowed.append(set(made.chain) if isinstance(made, Decision) else set())
    assert allowed[2] <= allowed[1] <= allowed[0]


@QUICK
@given(cases())
def test_a_refusal_names_every_lane_that_was_wanted_and_why(case: Case) -> None:
    made = outcome(case)
    if isinstance(made, Decision):
        return
    _, _, wish, _, settings = case
    names = [wish.pin] if wish.pin else [one.name for one in settings.lanes]
    assert all(f"{name}: " in made[2] for name in names)


# The Scout is worth its wait only where it can change something.


SURE = ScoutReading(0.1, 0.8, 0.1, 0.95, "scout")


def a_case(*rules: dict[str, Any]) -> Case:
    made = config(*rules, lanes=[lane("lane0"), lane("lane1")])
    return signals(), view(), Wish(), dict.fromkeys(("lane0", "lane1"), LaneState.READY), made


def opinions(case: Case, draws: list[ScoutReading]) -> set[str]:
    read, seen, wish, states, settings = case
    scouted = [read, *(replace(read, scout=scout) for scout in draws)]
    return {decide(one, seen, wish, states, settings).chain[0] for one in scouted}


@QUICK
@given(cases(), st.lists(scouts, min_size=1, max_size=5))
@example(a_case(rule("sure", "lane1", confidence_at_least=0.9), rule("default", "lane0")), [SURE])
def test_a_scout_that_is_said_not_to_matter_cannot_change_the_first_lane(
    case: Case, draws: list[ScoutReading]
) -> None:
    if isinstance(outcome(case), Decision) and not scout_matters(*case):
        assert len(opinions(case, draws)) == 1


@QUICK
@given(cases())
def test_the_scout_does_not_matter_when_no_rule_depends_on_its_judgement(case: Case) -> None:
    read, seen, wish, states, settings = case
    deaf = [
        one.model_copy(
            update={
                "when": one.when.model_copy(
                    update=dict.fromkeys(("difficulty", "confidence_at_least", "task"))
                )
            }
        )
        for one in settings.policy.rules
    ]
    policy = settings.policy.model_copy(update={"rules": tuple(deaf)})
    unmoved = settings.model_copy(update={"policy": policy})
    if isinstance(outcome((read, seen, wish, states, unmoved)), Decision):
        assert not scout_matters(read, seen, wish, states, unmoved)


def test_the_scout_matters_when_a_rule_asks_for_a_difficulty() -> None:
    settings = config(rule("complex", "world", difficulty=["complex"]), rule("default", "here"))
    assert scout_matters(signals(), view(), Wish(), ready(settings), settings)
    assert not scout_matters(signals(), view(), Wish(pin="here"), ready(settings), settings)


def test_the_scout_matters_when_a_rule_asks_only_for_confidence() -> None:
    settings = config(rule("sure", "world", confidence_at_least=0.9), rule("default", "here"))
    assert scout_matters(signals(), view(), Wish(), ready(settings), settings)


def test_the_scout_matters_when_a_rule_asks_for_the_task_it_judges() -> None:
    settings = config(rule("sums", "world", task=["summarisation"]), rule("default", "here"))
    assert scout_matters(signals(), view(), Wish(), ready(settings), settings)


@QUICK
@given(configs())
def test_every_lane_of_an_accepted_configuration_can_be_reached_by_some_class(settings: Config) -> None:
    """C3: the loader accepts no lane that nobody could ever use."""
    public = settings.policy.permits(Sensitivity.PUBLIC)
    assert all(lane.location in public for lane in settings.lanes)
