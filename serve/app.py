"""build(): the deployment graph of one configuration file. The only place that binds.

Imports neither vLLM nor torch: the driver only describes the graph.
"""

import hashlib
import os
import shlex
import sys
import uuid
import warnings
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, BackpressureConfig, RequestRouterConfig
from ray.serve.schema import LoggingConfig

from serve import hot
from serve.cloud import CloudProxyDeployment
from serve.config import (
    Autoscaling,
    Config,
    EncoderLane,
    EngineAutoscaling,
    EngineConfig,
    HttpLane,
    ScoutConfig,
    load,
)
from serve.encoder import EncoderDeployment
from serve.engine import EngineDeployment
from serve.router_deployment import RouterDeployment, encoder_deployment, engine_deployment
from serve.scout import ScoutDeployment

MEASURED_EVERY_S = 2.0
ENGINE_NICENESS = 10
"""Of an Engine's process from its first instruction: new replicas start just when the Router has most to do."""
# Two graphs of one process run the same code; of another process's code nothing is known.
_PROCESS = uuid.uuid4().hex


class AppArgs(BaseModel):
    """`args` of the application in a Serve config file, or `key=value` of `serve run`."""

    model_config = ConfigDict(extra="forbid")

    config: str = Field("configs/cpu.yaml", description="path of the Pointsman configuration")
    keys_file: Path | None = Field(None, description="keys.file of the configuration, from outside of it")


def build(args: AppArgs) -> serve.Application:
    """The graph for `args.config`. Raises ConfigError that names file and field.

    Keys are required, whatever the file says: Serve's own commands and KubeRay choose the address that is listened
    on, and with HAProxy that is every interface unless they say otherwise. `pointsman up` listens where it should.
    """
    return graph(load(args.config).declared(args.keys_file))


def __getattr__(name: str) -> serve.Application:
    """`serve.app:app`, for `serve build`, which takes an application and no arguments."""
    if name != "app":
        raise AttributeError(name)
    return build(AppArgs(config=os.environ.get("POINTSMAN_CONFIG", AppArgs().config)))


def graph(config: Config, *, engine: serve.Deployment = EngineDeployment) -> serve.Application:
    """Router -> Scout, Engines, Encoders, CloudProxy; a part that the configuration does not use is not deployed.

    `engine` is what answers for every engine of the configuration.
    """
    code = _code(config)
    engines = {name: _engine(config, name, engine, code) for name in config.engines}
    encoders = {lane.name: _encoder(config, lane, code) for lane in config.encoders}
    scout = _scout(config, config.scout, code) if config.scout else None
    cloud = _cloud(config, code) if any(isinstance(lane, HttpLane) for lane in config.lanes) else None
    router = RouterDeployment.options(
        _internal=True,
        version=code,
        user_config=hot.part(config),
        num_replicas=config.server.router_replicas,
        max_ongoing_requests=config.server.max_ongoing_requests,
        max_queued_requests=config.server.max_queued_requests,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
        graceful_shutdown_timeout_s=_last_answer_s(config),
        ray_actor_options={"num_cpus": 0.2},
        logging_config=_quiet(config),
    )
    return router.bind(config, engines, encoders, scout, cloud)


def _code(config: Config) -> str:
    """Serve restarts replicas when this differs; when only `user_config` does, it tells them."""
    fixed = "".join(f"{name}{value}" for name, value in sorted(hot.fingerprints(config).items()))
    return hashlib.sha256(f"{_PROCESS}{fixed}".encode()).hexdigest()


def _engine(config: Config, name: str, deployment: serve.Deployment, code: str) -> serve.Application:
    engine = config.engines[name]
    return deployment.options(
        _internal=True,
        version=code,
        name=engine_deployment(name),
        max_ongoing_requests=engine.max_ongoing_requests,
        max_queued_requests=engine.max_queued_requests,
        graceful_shutdown_timeout_s=_last_answer_s(config),
        ray_actor_options={
            "num_cpus": engine.num_cpus,
            "num_gpus": engine.num_gpus,
            "runtime_env": {"py_executable": f"nice -n {ENGINE_NICENESS} {shlex.quote(sys.executable)}"},
        },
        logging_config=_quiet(config),
        **_choice(engine),
        **_scaling(engine.autoscaling, 1),
    ).bind(engine)


def _choice(engine: EngineConfig) -> dict[str, Any]:
    """Serve's option for who picks a replica; none: the less busy of two."""
    if engine.replica_choice == "least_busy":
        return {}
    options: dict[str, Any] = {"request_router_class": "serve.lanes.home:ByHome"}
    return {"request_router_config": RequestRouterConfig(**options)}


def _scaling(scaling: Autoscaling | None, replicas: int) -> dict[str, Any]:
    """Serve's options: bounds that it scales between, or a fixed number of `replicas`."""
    if scaling is None:
        return {"num_replicas": replicas}
    options: dict[str, Any] = scaling.model_dump(exclude={"policy", "service_s"})
    if isinstance(scaling, EngineAutoscaling) and scaling.policy == "queue_and_spill":
        options["policy"] = AutoscalingPolicy(policy_function="serve.scaling:ByQueueAndSpill")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        # Ray 2.60 calls it deprecated for two environment variables that it does not read yet.
        interval_s = min(MEASURED_EVERY_S, scaling.look_back_period_s / 2)
        return {"autoscaling_config": AutoscalingConfig(metrics_interval_s=interval_s, **options)}


def _scout(config: Config, scout: ScoutConfig, code: str) -> serve.Application:
    return ScoutDeployment.options(
        _internal=True,
        version=code,
        max_ongoing_requests=scout.max_ongoing_requests,
        max_queued_requests=scout.max_queued_requests,
        ray_actor_options={"num_cpus": scout.num_cpus, "num_gpus": scout.num_gpus},
        logging_config=_quiet(config),
        **_scaling(scout.autoscaling, scout.replicas),
    ).bind(scout)


def _encoder(config: Config, lane: EncoderLane, code: str) -> serve.Application:
    return EncoderDeployment.options(
        _internal=True,
        version=code,
        name=encoder_deployment(lane.name),
        num_replicas=lane.replicas,
        max_ongoing_requests=lane.max_ongoing_requests,
        max_queued_requests=lane.max_queued_requests,
        graceful_shutdown_timeout_s=_last_answer_s(config),
        ray_actor_options={"num_cpus": lane.num_cpus},
        logging_config=_quiet(config),
    ).bind(lane)


def _cloud(config: Config, code: str) -> serve.Application:
    return CloudProxyDeployment.options(
        _internal=True,
        version=code,
        user_config=hot.part(config),
        # With one alone every HTTP lane is gone for the seconds in which a dead one is replaced.
        num_replicas=config.server.cloud_replicas or config.server.router_replicas,
        graceful_shutdown_timeout_s=_last_answer_s(config),
        logging_config=_quiet(config),
    ).bind(config)


def _last_answer_s(config: Config) -> float:
    """A replica that is let go finishes its answers: none takes longer than the deadline."""
    return config.dispatch.deadline_s + 10


def _quiet(config: Config) -> LoggingConfig:
    # One decision line per request replaces the access log.
    return LoggingConfig(encoding=config.server.log_format.upper(), enable_access_log=False)
