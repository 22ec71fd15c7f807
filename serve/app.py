"""build(): the deployment graph of one configuration file. The only place that binds.

Imports neither vLLM nor torch: the driver only describes the graph.
"""

import os

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import LoggingConfig

from serve.cloud import CloudProxyDeployment
from serve.config import Config, EngineConfig, HttpLane, ScoutConfig, load
from serve.engine import EngineDeployment
from serve.ingress import RouterDeployment, engine_deployment
from serve.scout import ScoutDeployment


class AppArgs(BaseModel):
    """`args` of the application in a Serve config file, or `key=value` of `serve run`."""

    model_config = ConfigDict(extra="forbid")

    config: str = Field("configs/cpu.yaml", description="path of the Pointsman configuration")


def build(args: AppArgs) -> serve.Application:
    """The graph for `args.config`. Raises ConfigError that names file and field."""
    return graph(load(args.config))


def __getattr__(name: str) -> serve.Application:
    """`serve.app:app`, for `serve build`, which takes an application and no arguments."""
    if name != "app":
        raise AttributeError(name)
    return build(AppArgs(config=os.environ.get("POINTSMAN_CONFIG", AppArgs().config)))


def graph(config: Config) -> serve.Application:
    """Router -> Scout, Engines, CloudProxy; a part that the configuration does not use is not deployed."""
    engines = {name: _engine(name, engine) for name, engine in config.engines.items()}
    scout = _scout(config.scout) if config.scout else None
    cloud = _cloud(config) if any(isinstance(lane, HttpLane) for lane in config.lanes) else None
    router = RouterDeployment.options(
        num_replicas=config.server.router_replicas,
        max_ongoing_requests=config.server.max_ongoing_requests,
        max_queued_requests=config.server.max_queued_requests,
        ray_actor_options={"num_cpus": 0.2},
        logging_config=_quiet(),
    )
    return router.bind(config, engines, scout, cloud)


def _engine(name: str, config: EngineConfig) -> "serve.Application":
    scaling = {"num_replicas": 1} if config.autoscaling is None else {"autoscaling_config": _scaling(config)}
    return EngineDeployment.options(
        name=engine_deployment(name),
        max_ongoing_requests=config.max_ongoing_requests,
        max_queued_requests=config.max_queued_requests,
        ray_actor_options={"num_cpus": config.num_cpus, "num_gpus": config.num_gpus},
        logging_config=_quiet(),
        **scaling,
    ).bind(config)


def _scaling(config: EngineConfig) -> AutoscalingConfig:
    assert config.autoscaling is not None
    return AutoscalingConfig(**config.autoscaling.model_dump())


def _scout(config: ScoutConfig) -> "serve.Application":
    return ScoutDeployment.options(
        num_replicas=config.replicas,
        max_ongoing_requests=config.max_ongoing_requests,
        max_queued_requests=config.max_queued_requests,
        ray_actor_options={"num_cpus": config.num_cpus, "num_gpus": config.num_gpus},
        logging_config=_quiet(),
    ).bind(config)


def _cloud(config: Config) -> "serve.Application":
    # With one alone every HTTP lane is gone for the seconds in which a dead one is replaced.
    replicas = config.server.cloud_replicas or config.server.router_replicas
    return CloudProxyDeployment.options(num_replicas=replicas, logging_config=_quiet()).bind(config)


def _quiet() -> LoggingConfig:
    # One decision line per request replaces the access log.
    return LoggingConfig(encoding="JSON", enable_access_log=False)
