"""What may change while Pointsman runs changes as a whole or not at all, and never what needs a redeploy."""

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve import hot
from serve.config import ON_PREMISES, Config, checked
from serve.errors import ConfigError
from serve.reload import Reload
from serve.signals.readings import Sensitivity
from tests.unit.test_config import GOOD, changed
from tests.unit.test_policy_properties import configs

HOT: list[tuple[tuple[Any, ...], Any]] = [
    (("policy", "rules", 0, "when"), {"input_tokens_over": 10}),
    (("policy", "locations", "internal"), ["device"]),
    (("policy", "overrides"), False),
    (("signals",), {"scout_deadline_s": 0.2}),
    (("dispatch",), {"idle_s": 3}),
    (("sessions",), {"keep_s": 60}),
    (("cache",), {"enabled": False}),
    (("preambles",), [{"name": "a", "version": "1", "tasks": ["tool_call"], "text": "Call a tool."}]),
    (("lanes", 2, "enabled"), False),
    (("lanes", 2, "price"), {"input": 0.25, "output": 2, "cached_input": 0.025}),
]
FIXED: list[tuple[tuple[Any, ...], Any, str]] = [
    (("server",), {"port": 9000}, "server.port"),
    (("profile",), "gpu", "profile"),
    (("engines", "small", "model"), "other", "engines.small.model"),
    (("scout",), {}, "scout"),
    (("lanes", 2, "model"), "other", "lanes.cloud.model"),
    (("lanes", 2, "location"), "eu", "lanes.cloud.location"),
    (("lanes", 1, "base_url"), "http://127.0.0.1:10/v1", "lanes.ollama.base_url"),
    (("lanes", 0, "context"), 99, "lanes.local.context"),
]


def made(raw: dict[str, Any]) -> Config:
    return Config.model_validate(raw)


def travelled(config: Config) -> Any:
    """The hot part as Serve carries it: JSON."""
    return json.loads(json.dumps(hot.part(config)))


@pytest.mark.parametrize(("path", "value"), HOT, ids=lambda part: str(part)[:40])
def test_every_hot_field_arrives_as_the_very_configuration_of_the_file(
    path: tuple[Any, ...], value: Any
) -> None:
    start, wanted = made(GOOD), made(changed(*path, to=value))
    assert wanted.version != start.version
    assert hot.fixed_changes(start, wanted) == []
    assert hot.applied(start, travelled(wanted)) == wanted
    assert hot.applied(start, travelled(wanted)).version == wanted.version
    (line,) = hot.hot_changes(start, wanted)
    assert (": changed" if path[0] == "preambles" else " -> ") in line
    assert hot.hot_changes(wanted, wanted) == []


@pytest.mark.parametrize(("path", "value", "name"), FIXED, ids=lambda part: str(part)[:40])
def test_a_fixed_field_is_refused_by_its_name(path: tuple[Any, ...], value: Any, name: str) -> None:
    start, wanted = made(GOOD), made(changed(*path, to=value))
    assert any(path.startswith(name) for path in hot.fixed_changes(start, wanted))
    with pytest.raises(ConfigError, match=r"needs a redeploy"):
        hot.refuse(hot.fixed_changes(start, wanted))
    whole = name.removesuffix(".port") if name.startswith("server") else ".".join(name.split(".")[:2])
    with pytest.raises(ConfigError, match=re.escape(whole)):
        hot.applied(start, travelled(wanted))


def test_the_order_of_lanes_is_fixed_and_the_order_of_rules_is_hot() -> None:
    start = made(GOOD)
    lanes = copy.deepcopy(GOOD) | {"lanes": [GOOD["lanes"][i] for i in (1, 0, 2)]}
    assert hot.fixed_changes(start, made(lanes)) == ["the order of lanes"]
    one = {"name": "tools", "when": {"tools": True}, "prefer": ["local"], "because": "it has tools"}
    rules = changed("policy", "rules", to=[one, *GOOD["policy"]["rules"]])
    other = changed("policy", "rules", to=[GOOD["policy"]["rules"][0], one, GOOD["policy"]["rules"][1]])
    assert hot.fixed_changes(made(rules), made(other)) == []
    assert "order" in "".join(hot.hot_changes(made(rules), made(other)))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("signals",), {"dictionary": {"confidential": ["Osprey"]}}, "dictionary.confidential: changed"),
        (
            ("preambles",),
            [{"name": "a.b", "version": "1", "tasks": ["tool_call"], "text": "Osprey"}],
            "preambles",
        ),
    ],
    ids=["a-dictionary", "a-preamble"],
)
def test_confidential_words_are_in_no_log_when_they_come_change_and_go(
    path: tuple[Any, ...], value: Any, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    value = {"sensitivity": value} if path == ("signals",) else value
    first, other = json.dumps(value), json.dumps(value).replace("Osprey", "Osprey and Heron")
    reload = Reload(made(GOOD))
    for one in (first, other):
        reload.take(travelled(made(changed(*path, to=json.loads(one)))))
    reload.take(travelled(made(GOOD)))
    lines = [record.getMessage() for record in caplog.records if record.name == "pointsman.reload"]
    assert [told in line and "Osprey" not in line for line in lines] == [True] * 3


def test_what_is_left_out_stays_as_it_was_at_the_start() -> None:
    start = made(GOOD)
    assert hot.applied(start, None) == start
    assert hot.applied(start, {}) == start
    priced = made(changed("lanes", 2, "price", to={"input": 1, "output": 2}))
    after = hot.applied(priced, {"lanes": {"cloud": {"enabled": False}}, "dispatch": {"idle_s": 3}})
    assert [lane.enabled for lane in after.lanes] == [True, True, False]
    assert after.lanes[2].price == priced.lanes[2].price is not None
    assert after.policy == start.policy
    assert after.dispatch == start.dispatch.model_copy(update={"idle_s": 3.0})


def test_new_rules_alone_do_not_loosen_the_classes() -> None:
    start = made(changed("policy", "locations", "internal", to=["device"]))
    after = hot.applied(start, {"policy": {"rules": [GOOD["policy"]["rules"][1]]}})
    assert len(after.policy.rules) == 1
    assert after.policy.locations == start.policy.locations


@pytest.mark.parametrize(
    ("user_config", "fault"),
    [
        pytest.param([], "user_config", id="a-list"),
        pytest.param("policy", "user_config", id="a-word"),
        pytest.param({"polcy": {}}, "polcy", id="misspelt"),
        pytest.param({"engines": {}}, "engines.*redeploy", id="engines"),
        pytest.param({"lanes": {"cloud": {"base_url": "https://x"}}}, r"lanes\.cloud\.base_url.*redeploy", id="url"),
        pytest.param({"lanes": {"new": {}}}, r"lanes\.new.*redeploy", id="a-new-lane"),
        pytest.param({"lanes": ["cloud"]}, "lanes", id="lanes-as-a-list"),
        pytest.param({"lanes": {"cloud": {"price": {"input": -1, "output": 1}}}}, "price.input", id="negative-price"),
        pytest.param({"lanes": {"cloud": {"price": {"input": float("nan"), "output": 1}}}}, "price", id="nan-price"),
        pytest.param({"policy": {"rules": []}}, "policy.rules", id="no-rules"),
        pytest.param({"policy": {"rules": [{"name": "d", "prefer": ["gone"], "because": "nothing else"}]}},
                     "no lane is called 'gone'", id="unknown-lane"),
        pytest.param({"policy": {**GOOD["policy"], "locations": {"public": ["device", "global"],
                      "internal": ["device", "global"], "confidential": ["global"]}}},
                     "confidential data may never go to", id="confidential-abroad"),
        pytest.param({"dispatch": {"idle_s": "soon"}}, "dispatch.idle_s", id="no-number"),
        pytest.param({"fixed": {"server": "0"}}, "redeploy", id="written-for-another-configuration"),
    ],
)  # fmt: skip
def test_a_wrong_user_config_keeps_the_old_one_and_says_what_is_wrong(user_config: Any, fault: str) -> None:
    reload = Reload(made(GOOD))
    before = reload.take({"dispatch": {"idle_s": 7}})
    assert before.dispatch.idle_s == 7
    assert reload.take(user_config) is before
    assert reload.fault is not None
    assert re.search(fault, reload.fault)
    assert reload.take({}).dispatch.idle_s == made(GOOD).dispatch.idle_s
    assert reload.fault is None


def test_no_value_of_a_wrong_user_config_is_repeated() -> None:
    reload = Reload(made(GOOD))
    reload.take({"signals": {"sure_at": "sk-secret"}, "dispatch": "sk-secret"})
    assert reload.fault is not None
    assert "sk-secret" not in reload.fault


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"signals": {"sensitivity": {"dictionary": {"Osprey": ["confidential"]}}}}, "dictionary.*"),
        (
            {"signals": {"sensitivity": {"dictionary": {"confidential": ["x", 1]}}}},
            "dictionary.confidential.1",
        ),
        ({"signals": {"sensitivity": {"levels": {"Osprey": "confidential"}}}}, "levels: *"),
        ({"signals": {"sensitivity": {"levels": {"Osprey": "secret"}}}}, "levels.*"),
        ({"signals": {"sensitivity": {"levels": {"full_name": "secret"}}}}, "levels.full_name"),
        ({"signals": {"sensitivity": {"levels": {"iban": "internal"}}}}, "levels: iban"),
        ({"signals": {"sensitivity": {"Osprey": "confidential"}}}, "sensitivity.*"),
        ({"signals": {"sensitivity": "Osprey"}}, "signals.sensitivity"),
        ({"preambles": [{"name": "x", "Osprey": "Osprey"}]}, "preambles.0.*"),
        ({"preambles": [{"name": "x", "version": "1", "tasks": ["Osprey"], "text": 1}]}, "preambles.0.text"),
    ],
)
def test_a_confidential_word_in_a_wrong_place_is_found_but_not_repeated(
    section: Any, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    Reload(made(GOOD)).take(section)
    with pytest.raises(ConfigError) as refused:
        checked(GOOD | section, "my.yaml")
    for told in (caplog.text, str(refused.value)):
        assert place in told
        assert "Osprey" not in told


def test_a_number_that_is_a_key_of_the_dictionary_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match=r"dictionary\.\*") as refused:
        checked(GOOD | {"signals": {"sensitivity": {"dictionary": {4711: ["confidential"]}}}}, "my.yaml")
    assert "4711" not in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["policy", "signals", "dispatch", "lanes", "fixed", "rules", "locations", "local", "cloud",
                         "enabled", "price", "server", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(JSON)
def test_no_user_config_raises_or_opens_confidential_data(user_config: Any) -> None:
    reload = Reload(made(GOOD))
    config = reload.take(user_config)
    assert config.policy.permits(Sensitivity.CONFIDENTIAL) <= ON_PREMISES
    assert [lane.location for lane in config.lanes] == [lane.location for lane in made(GOOD).lanes]


@settings(deadline=None, max_examples=150)
@given(configs(), configs())
def test_any_two_configurations_either_swap_whole_or_not_at_all(start: Config, wanted: Config) -> None:
    """C3: what is in force after a reload is one of the two, never a mixture."""
    reload = Reload(start)
    now = reload.take(travelled(wanted))
    swapped = not hot.fixed_changes(start, wanted)
    assert now == (wanted if swapped else start)
    assert now.version == (wanted if swapped else start).version
    assert (reload.fault is None) is swapped


@settings(deadline=None, max_examples=150)
@given(configs())
def test_fingerprints_and_versions_are_those_of_another_process(config: Config) -> None:
    again = Config.model_validate(json.loads(config.model_dump_json()))
    assert again.version == config.version
    assert hot.fingerprints(again) == hot.fingerprints(config)
