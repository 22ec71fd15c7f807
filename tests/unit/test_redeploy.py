"""The deploy document of `pointsman reload`: one `user_config` changes, everything else is repeated as it was."""

import copy
from typing import Any

import pytest
from ray.serve.schema import ServeDeploySchema

from serve import hot
from serve.config import Config
from serve.errors import ConfigError
from serve.redeploy import Details, changed, send
from tests.unit.test_config import GOOD
from tests.unit.test_config import changed as altered

RUNNING = Config.model_validate(GOOD)
HOTTER = Config.model_validate(altered("dispatch", to={"idle_s": 3}))
OTHER = Config.model_validate(altered("server", to={"port": 9000}))
APP: dict[str, Any] = {
    "name": "pointsman",
    "import_path": "serve.app:build",
    "args": {"config": "x.yaml"},
    "deployments": [{"name": "Router", "num_replicas": 2}, {"name": "Scout", "num_replicas": 1}],
}


def details(**pointsman: Any) -> Details:
    deployed = {"deployment_config": {"user_config": hot.part(RUNNING), "num_replicas": 1}}
    plain = {"deployment_config": {"num_replicas": 1}}
    found = {
        "deployed_app_config": APP,
        "deployments": {"Router": deployed, "CloudProxy": deployed, "Scout": plain},
    }
    neighbour = {"deployed_app_config": {"name": "other", "import_path": "a:b", "route_prefix": "/b"}}
    raw = {
        "applications": {"pointsman": found | pointsman, "other": neighbour},
        "http_options": {"host": "127.0.0.1", "port": 8000},
        "proxy_location": "EveryNode",
        "controller_info": {"node_id": "unused here"},
    }
    return Details.model_validate(copy.deepcopy(raw))


def test_only_user_config_of_router_and_gate_changes() -> None:
    document, told = changed(details(), "pointsman", HOTTER)
    assert told == ["Router", "CloudProxy"]
    wanted = hot.part(HOTTER)
    assert document == {
        "http_options": {"host": "127.0.0.1", "port": 8000},
        "proxy_location": "EveryNode",
        "applications": [
            APP
            | {
                "deployments": [
                    {"name": "Router", "num_replicas": 2, "user_config": wanted},
                    {"name": "Scout", "num_replicas": 1},
                    {"name": "CloudProxy", "user_config": wanted},
                ]
            },
            {"name": "other", "import_path": "a:b", "route_prefix": "/b"},
        ],
    }


def test_serve_accepts_the_document() -> None:
    document, _ = changed(details(), "pointsman", HOTTER)
    accepted = ServeDeploySchema.model_validate(document)
    router = next(one for one in accepted.applications[0].deployments if one.name == "Router")
    assert router.user_config == hot.part(HOTTER)


@pytest.mark.parametrize(
    ("application", "config", "more", "fault"),
    [
        pytest.param("pointsman", OTHER, {}, "server: fixed.*redeploy", id="a-fixed-field"),
        pytest.param("nobody", HOTTER, {}, "no application is called 'nobody'.*pointsman", id="unknown"),
        pytest.param("pointsman", HOTTER, {"deployed_app_config": None}, "pointsman up", id="not-declared"),
    ],
)
def test_what_cannot_be_reloaded_is_refused_before_anything_is_sent(
    application: str, config: Config, more: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        changed(details(**more), application, config)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "127.0.0.1:8265", "ray://127.0.0.1:10001"])
def test_an_address_where_nobody_answers_is_named(address: str) -> None:
    with pytest.raises(ConfigError, match=address):
        send(HOTTER, address, "pointsman")
