"""What a key's rights mean for a decision, for any configuration, request and state of the lanes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve import wish
from serve.decision import Decision
from serve.errors import KeyForbids
from serve.keys.rights import Rights
from serve.signals.readings import Sensitivity
from serve.wire.openai_chat import parse
from tests.unit.test_policy_properties import QUICK, Case, cases, outcome
from tests.unit.test_wish import config


def bounded(case: Case) -> object:
    try:
        return outcome(case)
    except KeyForbids as error:
        return error


@QUICK
@given(cases(), st.data())
def test_a_lane_that_the_key_may_not_use_is_in_no_chain(case: Case, data: st.DataObject) -> None:
    read, seen, wanted, states, settings = case
    names = sorted(lane.name for lane in settings.lanes)
    mine = frozenset(data.draw(st.sets(st.sampled_from(names))))
    free, bound = outcome(case), bounded((read, seen, replace(wanted, lanes=mine), states, settings))
    if isinstance(bound, Decision):
        assert set(bound.chain) <= mine
        assert isinstance(free, Decision)
        assert [name for name in free.chain if name in mine] == list(bound.chain)
        assert bound.permit == free.permit
    elif isinstance(free, Decision):
        assert not mine & set(free.chain)


def body(text: str, model: str = "auto") -> bytes:
    return f'{{"model": "{model}", "messages": [{{"role": "user", "content": "{text}"}}]}}'.encode()


@pytest.mark.parametrize("floor", list(Sensitivity))
@pytest.mark.parametrize("header", [None, "public", "internal", "confidential"])
def test_the_floor_and_the_header_only_raise(floor: Sensitivity, header: str | None) -> None:
    headers = {"x-pointsman-sensitivity": header} if header else {}
    _, wanted = wish.read(parse(body("hi")), headers, config(), Rights(floor=floor))
    assert wanted.at_least == max(floor, Sensitivity.parse(header or "public"))


@pytest.mark.parametrize("prefix", sorted(wish.PREFIXES))
def test_without_the_right_no_prefix_and_no_header_steers(prefix: str) -> None:
    request = parse(body(f"{prefix} hi"))
    for headers in ({}, {"x-pointsman-prefer": "cloud"}, {"x-pointsman-prefer": "nonsense"}):
        same, wanted = wish.read(request, headers, config(), Rights(overrides=False))
        assert same is request
        assert wanted.prefer is None


def test_without_the_right_no_lane_is_asked_for_by_name() -> None:
    settings: Any = config()
    name = settings.lanes[0].name
    with pytest.raises(KeyForbids, match="auto"):
        wish.read(parse(body("hi", name)), {}, settings, Rights(overrides=False))
    assert wish.read(parse(body("hi", name)), {}, settings, Rights())[1].pin == name
