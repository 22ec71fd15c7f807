"""P1, P2, P4, P5, P12: no disguise, encoding, split or hiding place opens a way out of the house.

In one process, from the bytes of a request to its decision, and then the gate alone with a permit that lies.
"""

import json
from functools import cache

import pytest

from models.scout.prescout import PreScout
from serve import egress
from serve.config import ON_PREMISES, Config, HttpLane
from serve.egress import Permit
from serve.keys.limiter import Visit
from serve.lane_errors import LaneEgressDenied
from serve.lanes.load import LaneLoad
from serve.request import view_of
from serve.router import Router
from serve.signals import sensitivity
from serve.signals.gather import Judges
from serve.signals.readings import Sensitivity
from serve.wire.openai_chat import parse
from tests.support.disguised_requests import HIDING, SPLITS, Body, confidential, public
from tests.support.disguises import DISGUISES, ENCODINGS, NUMBER_DISGUISES
from tests.support.nightly import cases
from tests.support.serving import config

MANY = cases(9_000, 98_000)
PER_TEST = 500
LIE = Permit(Sensitivity.PUBLIC, frozenset({"device", "private", "eu", "global"}))


@cache
def settings() -> Config:
    return config("http://127.0.0.1:9", "http://127.0.0.1:9")


def gate_lets_pass(body: Body, settings: Config, permit: Permit = LIE) -> bool:
    cloud = settings.lane("cloud-openai")
    assert isinstance(cloud, HttpLane)
    try:
        egress.check(cloud, permit, json.dumps(parse(json.dumps(body).encode()).sent()).encode(), settings)
    except LaneEgressDenied:
        return False
    return True


@pytest.mark.parametrize("start", range(0, MANY, PER_TEST))
async def test_no_disguised_request_gets_a_lane_off_the_premises(start: int) -> None:
    """0 of 10,000, together with what `test_never_leaves.py` sends; every fourth also past the gate alone."""
    router = Router(settings(), Judges(PreScout.load(), None), {}, LaneLoad(settings()))
    escaped: list[str] = []
    for number in range(start, min(start + PER_TEST, MANY)):
        asked = confidential(number)
        # What the caller says of it must change nothing.
        headers = {"x-pointsman-prefer": "cloud", "x-pointsman-sensitivity": "public"} if number % 2 else {}
        decided = await router.decide(json.dumps(asked.body).encode(), headers, Visit.anonymous())
        decision = decided.decision
        locations = {settings().lane(name).location for name in decision.chain}
        if decision.permit.level is not Sensitivity.CONFIDENTIAL or not locations <= ON_PREMISES:
            escaped.append(asked.how)
        elif number % 4 == 0 and gate_lets_pass(asked.body, settings()):
            escaped.append(f"{asked.how}, past the gate")
    assert not escaped


async def test_a_harmless_request_gets_a_lane_abroad_and_passes_the_gate() -> None:
    """Without this the test above could not fail."""
    router = Router(settings(), Judges(PreScout.load(), None), {}, LaneLoad(settings()))
    for number in range(0, MANY, PER_TEST):
        asked = public(number)
        headers = {"x-pointsman-prefer": "cloud"}
        decided = await router.decide(json.dumps(asked.body).encode(), headers, Visit.anonymous())
        assert settings().lane(decided.decision.chain[0]).location == "global"
        assert gate_lets_pass(asked.body, settings())
        assert not gate_lets_pass(asked.body, settings(), Permit(Sensitivity.CONFIDENTIAL, LIE.locations))
        assert not gate_lets_pass(asked.body, settings(), Permit(Sensitivity.PUBLIC, ON_PREMISES))


def test_the_generator_uses_everything_it_has() -> None:
    said = " ".join(confidential(number).how.replace(",", " ") + " " for number in range(3000))
    ways = [*DISGUISES, *NUMBER_DISGUISES, *ENCODINGS, *HIDING, *SPLITS]
    assert [way for way in ways if f" {way} " not in said] == []
    assert len(DISGUISES) + len(NUMBER_DISGUISES) >= 20


def test_the_same_number_is_the_same_request() -> None:
    assert [confidential(n) for n in range(50)] == [confidential(n) for n in range(50)]
    assert len({json.dumps(confidential(n).body) for n in range(500)}) == 500


@pytest.mark.parametrize("number", range(0, 40, 4))
def test_what_is_read_is_what_is_sent(number: int) -> None:
    """P5: every string of the outgoing body is a leaf of the view, so that a new field cannot go unread."""
    request = parse(json.dumps(confidential(number).body).encode())
    leaves = {leaf.text for leaf in view_of(request).leaves}
    pending: list[object] = [request.sent()]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, str):
            assert item in leaves


def test_a_detected_class_names_the_rule_and_never_the_value() -> None:
    for number in range(200):
        asked = confidential(number)
        reading = sensitivity.read(view_of(parse(json.dumps(asked.body).encode())))
        told = repr(reading.findings)
        assert asked.value not in told
        assert all(finding.rule and finding.detector for finding in reading.findings)
