"""The loader refuses every mistake with its file and field, all of them at once."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.config import Config, load
from serve.errors import ConfigError

GOOD: dict[str, Any] = {
    "engines": {"small": {"model": "m", "max_ongoing_requests": 10, "autoscaling": {"target_ongoing_requests": 7}}},
    "lanes": [
        {"name": "local", "kind": "engine", "engine": "small", "context": 100},
        {"name": "ollama", "kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "location": "device",
         "context": 100},
        {"name": "cloud", "kind": "anthropic", "model": "m", "base_url": "https://api.example", "location": "global",
         "context": 100, "api_key": {"env": "POINTSMAN_TEST_KEY"}},
    ],
    "policy": {
        "locations": {"public": ["device", "private", "eu", "global"], "internal": ["device", "eu"],
                      "confidential": ["device"]},
        "rules": [
            {"name": "long", "when": {"input_tokens_over": 9}, "prefer": ["cloud"], "because": "it is long"},
            {"name": "default", "prefer": ["local"], "because": "nothing against it"},
        ],
    },
}  # fmt: skip


def written(folder: Path, raw: object) -> Path:
    path = folder / "pointsman.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def changed(*steps: Any, to: object) -> dict[str, Any]:
    """GOOD with the value at `steps` replaced; None removes it."""
    raw: Any = copy.deepcopy(GOOD)
    here = raw
    for step in steps[:-1]:
        here = here[step] if isinstance(here, list) else here.setdefault(step, {})
    if to is None:
        del here[steps[-1]]
    elif isinstance(here, list) and steps[-1] == len(here):
        here.append(to)
    else:
        here[steps[-1]] = to
    made: dict[str, Any] = raw
    return made


def test_the_example_that_the_mistakes_are_made_in_is_right(tmp_path: Path) -> None:
    assert isinstance(load(written(tmp_path, GOOD)), Config)


LANE = GOOD["lanes"][0]
RULE = GOOD["policy"]["rules"][1]


@pytest.mark.parametrize(
    ("raw", "where", "fault"),
    [
        pytest.param(changed("sever", to={}), "sever", "Extra inputs", id="unknown-section"),
        pytest.param(changed("server", "prot", to=1), "server.prot", "Extra inputs", id="unknown-key"),
        pytest.param(changed("lanes", 0, "contxt", to=1), "lanes.0.engine.contxt", "Extra", id="unknown-lane-key"),
        pytest.param(changed("policy", "rules", 0, "when", "tokens", to=1), "policy.rules.0.when.tokens", "Extra",
                     id="unknown-condition"),
        pytest.param(changed("server", "port", to=0), "server.port", "greater than or equal to 1", id="port"),
        pytest.param(changed("server", "port", to="http"), "server.port", "valid integer", id="wrong-type"),
        pytest.param(changed("lanes", to=None), "lanes", "required", id="no-lanes"),
        pytest.param(changed("lanes", to=[]), "lanes", "at least 1", id="empty-lanes"),
        pytest.param(changed("lanes", 0, "kind", to="vllm"), "lanes.0", "'encoder', 'openai'", id="unknown-kind"),
        pytest.param(changed("lanes", 0, "name", to="Not A Name"), "lanes.0.engine.name", "pattern", id="name"),
        pytest.param(changed("lanes", 0, "context", to=0), "lanes.0.engine.context", "greater than 0", id="context"),
        pytest.param(changed("lanes", 0, "location", to="global"), "lanes.0.engine.location", "'device'",
                     id="an-engine-outside"),
        pytest.param(changed("lanes", 3, to=LANE), "lanes", "'local' is defined twice", id="doubled-lane"),
        pytest.param(changed("lanes", 0, "engine", to="big"), "lanes.local.engine", "no engine is called 'big'",
                     id="unknown-engine"),
        pytest.param(changed("engines", "idle", to={"model": "m"}), "engines.idle", "no lane uses it", id="idle"),
        pytest.param(changed("policy", "rules", 0, "prefer", to=["nobody"]), "policy.rules.long.prefer",
                     "no lane is called 'nobody'", id="unknown-lane-in-a-rule"),
        pytest.param(changed("policy", "rules", 0, "prefer", to=[]), "policy.rules.0.prefer", "at least 1",
                     id="a-rule-without-lanes"),
        pytest.param(changed("policy", "rules", 0, "because", to="so"), "policy.rules.0.because", "at least 8",
                     id="a-rule-without-a-reason"),
        pytest.param(changed("policy", "rules", 1, "when", to={"tools": True}), "policy", r"last rule \(default\)",
                     id="no-default"),
        pytest.param(changed("policy", "rules", to=[]), "policy.rules", "at least 1", id="no-rules"),
        pytest.param(changed("policy", "locations", "confidential", to=["device", "global"]), "policy.locations",
                     r"confidential data may never go to \['global'\]", id="confidential-abroad"),
        pytest.param(changed("policy", "locations", "confidential", to=["eu"]), "policy.locations",
                     r"confidential data may never go to \['eu'\]", id="confidential-in-a-cloud"),
        pytest.param(changed("policy", "locations", "confidential", to=["private"]), "policy.locations",
                     "a stricter class", id="confidential-not-within-internal"),
        pytest.param(changed("policy", "locations", "public", to=["device"]), "policy.locations", "a stricter class",
                     id="internal-not-within-public"),
        pytest.param(changed("policy", "locations", "secret", to=["device"]), "policy.locations", "secret", id="class"),
        pytest.param(changed("policy", "locations", "internal", to=None), "policy.locations", "internal",
                     id="missing-class"),
        pytest.param(changed("policy", "locations", "public", to=["mars"]), "policy.locations.public", "'device'",
                     id="unknown-location"),
        pytest.param(changed("policy", "locations", "public", to=["device", "eu"]), "lanes.cloud", "nobody can reach",
                     id="unreachable-lane"),
        pytest.param(changed("lanes", 1, "base_url", to="http://10.0.0.1/v1"), "lanes.1.openai", "not this machine",
                     id="a-device-elsewhere"),
        pytest.param(changed("lanes", 1, "base_url", to="http://127.0.0.1.evil.example"), "lanes.1.openai",
                     "not this machine", id="a-device-that-looks-near"),
        pytest.param(changed("lanes", 1, "base_url", to="http://127.0.0.1@evil.example"), "lanes.1.openai",
                     "not this machine", id="a-device-behind-userinfo"),
        pytest.param(changed("lanes", 1, "base_url", to="http://0.0.0.0/v1"), "lanes.1.openai", "not this machine",
                     id="every-address"),
        pytest.param(changed("lanes", 1, "base_url", to="file:///etc/passwd"), "lanes.1.openai", "http", id="file-url"),
        pytest.param(changed("engines", "small", "autoscaling", "target_ongoing_requests", to=7.5), "engines.small",
                     r"at most 0\.7", id="scales-too-late"),
        pytest.param(changed("engines", "small", "autoscaling", "min_replicas", to=2), "engines.small.autoscaling",
                     "larger than max_replicas", id="min-over-max"),
        pytest.param(changed("engines", "small", "autoscaling", "policy", to="guess"), "engines.small.autoscaling",
                     "'queue_and_spill' or 'queue'", id="no-such-policy"),
        pytest.param(changed("scout", to={"autoscaling": {"target_ongoing_requests": 45}}), "scout", r"at most 0\.7",
                     id="the-scout-scales-too-late"),
        pytest.param(changed("scout", to={"backend": "causal_lm", "model": "all-minilm-l6-v2"}), "scout",
                     "no head for all-minilm", id="a-head-of-the-other-back-end"),
        pytest.param(changed("scout", to={"model": "/models/other"}), "scout", "no head for /models/other",
                     id="a-scout-of-another-model"),
        pytest.param(changed("scout", to={"replicas": 2, "autoscaling": {"target_ongoing_requests": 5}}), "scout",
                     "not both", id="two-ways-to-scale"),
        pytest.param(changed("engines", "small", "vllm", to={"trust_remote_code": True}), "engines.small",
                     "trust_remote_code may not be set", id="remote-code"),
        pytest.param(changed("engines", "small", "vllm", to={"host": "0.0.0.0"}), "engines.small",  # noqa: S104
                     "host may not be set", id="engine-host"),
        pytest.param(changed("signals", "sure_at", to=1.01), "signals.sure_at", "or equal to 1", id="over-1"),
        pytest.param(changed("signals", "sure_at", to=-0.1), "signals.sure_at", "or equal to 0", id="minus"),
        pytest.param(changed("signals", "sure_at", to=float("nan")), "signals.sure_at", "equal to", id="nan"),
        pytest.param(changed("policy", "rules", 0, "when", to={"confidence_at_least": 75}),
                     "policy.rules.0.when.confidence_at_least", "less than or equal to 1", id="a-percentage"),
        pytest.param(changed("policy", "rules", 0, "when", to={"difficulty": ["no"]}), "policy.rules.0.when.difficulty",
                     "'trivial'", id="unknown-difficulty"),
        pytest.param(changed("dispatch", "idle_s", to=0), "dispatch.idle_s", "greater than 0", id="no-patience"),
        pytest.param(changed("lanes", 2, "api_key", to="sk-secret"), "lanes.2.anthropic.api_key", "EnvRef", id="key"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_the_path_of_its_field(
    tmp_path: Path, raw: dict[str, Any], where: str, fault: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load(written(tmp_path, raw))
    lines = str(error.value).splitlines()
    assert lines[0].startswith(f"{tmp_path}/pointsman.yaml: ")
    assert any(where in line and re.search(fault, line) for line in lines[1:]), str(error.value)
    assert "sk-secret" not in str(error.value)


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    raw = changed("server", to={"port": 0, "host": 5}) | {"typo": 1}
    with pytest.raises(ConfigError, match=r"3 mistake\(s\)"):
        load(written(tmp_path, raw))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(b"", r"\(whole file\)", id="empty"),
        pytest.param(b"# nothing\n", r"\(whole file\)", id="only-a-comment"),
        pytest.param(b"- a\n- b\n", r"\(whole file\)", id="a-list"),
        pytest.param(b"lanes: [", "not readable YAML", id="not-yaml"),
        pytest.param(b"a: b: c", "not readable YAML", id="not-yaml-either"),
        pytest.param(b"lanes: \xff\xfe", "not readable YAML", id="invalid-utf-8"),
        pytest.param(b"a: \x00", "not readable YAML", id="nul"),
        pytest.param(b"a: !!python/object/apply:os.system ['id']", "not readable YAML", id="a-python-object"),
        pytest.param(b"a: 2026-13-45", "not readable YAML", id="an-impossible-date"),
        pytest.param(b"[" * 100_000, "not readable YAML", id="100000-deep"),
        pytest.param(b"profile: core\nprofile: gpu\n", r"twice \(line 2, column 1\)", id="a-doubled-key"),
    ],
)  # fmt: skip
def test_a_file_that_holds_no_configuration_is_refused_by_name(
    tmp_path: Path, content: bytes, fault: str
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"broken\.yaml(?s:.*){fault}"):
        load(path)


@pytest.mark.parametrize("content", ["{}: 1\n{}: 2", "a: [{}", "a: {}: b", "a: '{}", "{}\n  - a: b"])
def test_a_file_that_is_no_yaml_is_told_by_the_place_and_not_quoted(tmp_path: Path, content: str) -> None:
    """A dictionary of confidential words may stand there, and what is said here goes into logs."""
    path = tmp_path / "broken.yaml"
    path.write_text(content.format(*["Project Bluebird"] * 2))
    with pytest.raises(ConfigError, match=r"line \d+, column \d+") as error:
        load(path)
    assert "Bluebird" not in str(error.value)


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path / name)):
        load(tmp_path / name)
