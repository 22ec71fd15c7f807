"""Serve restarts a replica when its version changes: a reload must not, and a new graph must."""

import pytest

from serve import hot
from serve.app import graph
from serve.config import Config, load
from tests.support.manifests import ROOT, deployed


@pytest.fixture
def config() -> Config:
    return load(ROOT / "configs" / "cpu.yaml")


def versions(config: Config) -> dict[str, str | None]:
    return {name: deployment._version for name, deployment in deployed(graph(config)).items()}


def test_a_reload_leaves_the_version_of_every_deployment_as_it_is(config: Config) -> None:
    """A deployment without a version of its own would get a random one, and restart at every reload."""
    changed = hot.applied(config, {"dispatch": {"idle_s": 3}, "lanes": {"cloud-openai": {"enabled": False}}})
    assert versions(config) == versions(changed)
    assert len(versions(config)) == 5
    assert None not in versions(config).values()


def test_only_router_and_gate_hear_of_a_reload(config: Config) -> None:
    changed = hot.applied(config, {"dispatch": {"idle_s": 3}})
    before, after = (
        {name: d.user_config for name, d in deployed(graph(one)).items()} for one in (config, changed)
    )
    assert {name for name in before if before[name] != after[name]} == {"Router", "CloudProxy"}
    assert after["Router"] == after["CloudProxy"] == hot.part(changed)


def test_a_fixed_field_changes_the_version(config: Config) -> None:
    server = config.server.model_copy(update={"max_ongoing_requests": 7})
    other = Config.model_validate({**{n: getattr(config, n) for n in Config.model_fields}, "server": server})
    assert not set(versions(config).values()) & set(versions(other).values())
