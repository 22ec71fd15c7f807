"""`pointsman reload`: hand the hot part of a configuration to a Pointsman that `serve deploy` started.

Talks to Serve's REST API through Ray's own client, which knows tokens. Changes `user_config` and nothing else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from serve import hot
from serve.config import Config
from serve.errors import ConfigError

FOLLOWERS = ("Router", "CloudProxy")
Values = dict[str, JsonValue]


class _Lenient(BaseModel):
    """What is read of Serve's answer; the rest belongs to Serve."""

    model_config = ConfigDict(extra="ignore")


class _Options(_Lenient):
    user_config: Values | None = None


class _Deployment(_Lenient):
    deployment_config: _Options


class Application(_Lenient):
    """One application of the cluster, as Serve tells it."""

    deployed_app_config: Values | None = None
    deployments: dict[str, _Deployment] = {}


class Details(_Lenient):
    """What Serve tells of a whole cluster."""

    applications: dict[str, Application] = {}
    http_options: Values | None = None
    grpc_options: Values | None = None
    proxy_location: str | None = None
    target_capacity: float | None = None


def send(config: Config, address: str, application: str) -> list[str]:
    """Change `application` at the Ray dashboard `address` to follow `config`; the deployments that were told.

    Raises ConfigError when nobody answers, nothing of that name was deployed, or a fixed field differs.
    """
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    try:
        client = ServeSubmissionClient(address)
        details = Details.model_validate(client.get_serve_details())
        document, told = changed(details, application, config)
        client.deploy_applications(document)
    except (ConnectionError, RuntimeError, ValueError) as error:
        if isinstance(error, ValidationError):
            raise ConfigError(f"{address}: Serve answered something unknown to this version") from error
        raise ConfigError(f"{address}: {error}") from error
    return told


def changed(details: Details, application: str, config: Config) -> tuple[Values, list[str]]:
    """The cluster's deploy document with `user_config` of one application replaced. Raises ConfigError.

    Every other application is repeated as it was deployed: Serve removes what the document leaves out.
    """
    found = details.applications.get(application)
    if found is None:
        known = ", ".join(details.applications) or "none"
        raise ConfigError(f"no application is called {application!r} there; running: {known}")
    if found.deployed_app_config is None:
        raise ConfigError(
            f"{application} was not started by `serve deploy`: `pointsman up` follows its own file, or on SIGHUP"
        )
    config = config.declared(_keys_file(found.deployed_app_config))
    told = [name for name in FOLLOWERS if name in found.deployments]
    _require_same_fixed(found, told, config)
    applications: list[JsonValue] = [
        _with(app.deployed_app_config, told, hot.part(config))
        if name == application
        else {**app.deployed_app_config}
        for name, app in details.applications.items()
        if app.deployed_app_config is not None
    ]
    around: Mapping[str, Any] = details.model_dump(exclude={"applications"}, exclude_none=True)
    return {**around, "applications": applications}, told


def _keys_file(app: Values) -> Path | None:
    """Where the application was told to find its keys, if it was."""
    arguments = app.get("args")
    file = arguments.get("keys_file") if isinstance(arguments, dict) else None
    return Path(file) if isinstance(file, str) else None


def _require_same_fixed(found: Application, told: list[str], config: Config) -> None:
    for name in told:
        running = (found.deployments[name].deployment_config.user_config or {}).get("fixed")
        if isinstance(running, dict):
            prints = {key: str(value) for key, value in running.items()}
            hot.refuse(hot.changed_names(prints, hot.fingerprints(config)))


def _with(app: Values, names: list[str], user_config: Values) -> Values:
    """The application with `user_config` of these deployments; an entry that is missing is added."""
    given = app.get("deployments")
    entries = [entry for entry in given if isinstance(entry, dict)] if isinstance(given, list) else []
    listed = {entry.get("name") for entry in entries}
    entries += [{"name": name} for name in names if name not in listed]
    after: list[JsonValue] = [
        {**entry, "user_config": user_config} if entry.get("name") in names else entry for entry in entries
    ]
    return {**app, "deployments": after}
