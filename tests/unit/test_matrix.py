"""`pointsman policy matrix`: what it prints is what is decided, and no confidential chain has a cloud lane."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from serve import matrix, policy
from serve.cli import app
from serve.config import ON_PREMISES, Config
from serve.errors import EgressDenied
from serve.signals.readings import Sensitivity
from serve.wish import Wish
from tests.unit.test_policy import config, lane, ready, review, rule, signals, view

EUROPE = {
    "public": ["device", "private", "eu", "global"],
    "internal": ["device", "private", "eu"],
    "confidential": ["device", "private"],
}
AT_HOME = EUROPE | {"internal": ["device", "private"]}
CLOUD_FIRST = rule("cloud_first", "world", "europe")
LANES = [lane("europe", "eu"), lane("world", "global"), lane("here"), lane("cellar", "private")]

GOLDEN = """\
lane                 location                                   public                       internal             confidential
europe               eu                                         may                          may                  may not
world                global                                     may                          may not              may not
here                 device                                     may                          may                  may
cellar               private   switched off by configuration    may                          may                  may
by policy.locations                                             device, eu, global, private  device, eu, private  device, private

rule         public                                 internal                       confidential
cloud_first  world > europe > here > cellar (off)   europe > here > cellar (off)   here > cellar (off)

review   public  internal  confidential
careful  -       held      held

"""  # noqa: E501 - as wide as it is printed


def printed(folder: Path, settings: Config, *options: str) -> str:
    path = folder / "pointsman.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    done = CliRunner().invoke(app, ["policy", "matrix", "--config", str(path), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_tables_of_one_configuration(tmp_path: Path) -> None:
    lanes = [*LANES[:3], LANES[3] | {"enabled": False}]
    careful = review("careful", class_at_least="internal")
    settings = config(CLOUD_FIRST, lanes=lanes, locations=EUROPE, review=[careful])
    text = printed(tmp_path, settings)
    assert words(text) == words(GOLDEN)
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("locations", "chain"),
    [(EUROPE, ["europe", "here", "cellar"]), (AT_HOME, ["here", "cellar"])],
    ids=["eu-permitted", "eu-not-permitted"],
)
def test_a_lane_in_europe_takes_internal_data_only_where_that_is_permitted(
    tmp_path: Path, locations: dict[str, Any], chain: list[str]
) -> None:
    settings = config(CLOUD_FIRST, lanes=LANES, locations=locations)
    document = json.loads(printed(tmp_path, settings, "--json"))
    assert document["policy_version"] == settings.version
    internal = document["classes"]["internal"]
    assert internal["chains"] == [{"rule": "cloud_first", "chain": chain}]
    europe = internal["lanes"][0]
    assert (europe["may"], europe["by"].startswith("policy.locations.internal has")) == (
        "europe" in chain,
        True,
    )
    assert ("not" in europe["by"]) is ("europe" not in chain)


@pytest.mark.parametrize("locations", [EUROPE, AT_HOME], ids=["eu-permitted", "eu-not-permitted"])
@pytest.mark.parametrize("level", list(Sensitivity))
@pytest.mark.parametrize("lanes", [LANES, LANES[:2]], ids=["four-lanes", "cloud-only"])
def test_what_it_prints_is_what_is_decided(
    locations: dict[str, Any], level: Sensitivity, lanes: list[dict[str, Any]]
) -> None:
    settings = config(CLOUD_FIRST, lanes=lanes, locations=locations)
    chain = policy.fallbacks(settings.policy.rules[0], level, settings)
    asked = (signals(level), view(), Wish(), ready(settings), settings)
    if chain:
        assert policy.decide(*asked).chain == chain
    else:
        with pytest.raises(EgressDenied):
            policy.decide(*asked)


def test_no_confidential_chain_has_a_cloud_lane_although_every_rule_prefers_one() -> None:
    rules = [rule(f"r{i}", "world", "europe", constraints_over=i) for i in range(3)]
    settings = config(*rules, CLOUD_FIRST, lanes=LANES)
    found = matrix.as_json(settings)["classes"]
    assert isinstance(found, dict)
    confidential = found["confidential"]
    assert isinstance(confidential, dict)
    chains = confidential["chains"]
    assert isinstance(chains, list)
    assert len(chains) == 4
    for entry in chains:
        assert isinstance(entry, dict)
        assert isinstance(entry["chain"], list)
        assert {settings.lane(str(name)).location for name in entry["chain"]} <= ON_PREMISES


@pytest.mark.parametrize("place", ["eu", "global"])
def test_a_rule_that_prefers_a_cloud_lane_where_confidential_data_could_follow_is_refused_at_load(
    place: str,
) -> None:
    everywhere = EUROPE | {"internal": EUROPE["public"], "confidential": ["device", "private", place]}
    with pytest.raises(ValueError, match="confidential data may never go to"):
        config(CLOUD_FIRST, lanes=LANES, locations=everywhere)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "https://API.Anthropic.com.",
        "https://eu.api.mistral.ai/v1",
        "http://8.8.8.8/v1",
        "http://[2606:4700::1111]:8000/v1",
    ],
)
def test_a_private_lane_at_a_provider_or_a_public_address_is_refused_at_load(url: str) -> None:
    with pytest.raises(ValueError, match="somebody else's"):
        config(rule("default", "cellar"), lanes=[lane("cellar", "private", base_url=url)])


@pytest.mark.parametrize(
    "url",
    [
        "http://10.1.2.3:8000/v1",
        "http://llm.corp.example/v1",
        "http://notopenai.com/v1",
        "http://[fd00::1]/v1",
    ],
)
def test_a_private_lane_at_an_address_of_ones_own_is_taken(url: str) -> None:
    assert config(rule("default", "cellar"), lanes=[lane("cellar", "private", base_url=url)])


def test_a_configuration_that_is_wrong_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("lanes: []\n")
    done = CliRunner().invoke(app, ["policy", "matrix", "--config", str(path)])
    assert done.exit_code == 1
    assert "wrong.yaml" in done.output
