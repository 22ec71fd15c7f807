"""The ingress deployment: the HTTP edge behind Serve's proxy, and its watch over the deployments it calls."""

import asyncio
import logging
import time
from typing import Any

from fastapi import FastAPI
from pydantic import JsonValue
from ray import serve
from ray.serve.handle import DeploymentHandle

from models.scout.prescout import PreScout
from serve import lines, scaling
from serve.audit.log import open_audit
from serve.config import Config, EncoderLane, EngineLane, HttpLane, Lane
from serve.ingress import http_app
from serve.lanes.handle import HandleLane
from serve.lanes.load import LaneLoad
from serve.lanes.spilled import SpilledDemand
from serve.outcomes.tracker import open_tracking
from serve.router import Router
from serve.signals.gather import Judges
from serve.signals.scout import Judgement

log = logging.getLogger("pointsman.ingress")


class _ScoutHandle:
    """The Scout deployment as the signal sees it."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def judge(self, text: str) -> Judgement:
        judgement: Judgement = await self._handle.judge.remote(text)
        return judgement


@serve.ingress()
class RouterIngress:
    """The ingress deployment: one router and the handles of everything it may call."""

    def __init__(
        self,
        config: Config,
        engines: dict[str, DeploymentHandle[Any]],
        encoders: dict[str, DeploymentHandle[Any]],
        scout: DeploymentHandle[Any] | None,
        cloud: DeploymentHandle[Any] | None,
    ) -> None:
        lines.join()
        scaled = {name: engine.autoscaling for name, engine in config.engines.items() if engine.autoscaling}
        lanes = {lane.name: HandleLane(_handle_of(lane, engines, encoders, cloud)) for lane in config.lanes}
        judges = Judges(PreScout.load(), _ScoutHandle(scout) if scout else None)
        self._load = LaneLoad(config)
        self._router = Router(config, judges, lanes, self._load, open_audit(config), open_tracking(config))
        self._router.ledger.start()
        windows_s = {name: bounds.look_back_period_s for name, bounds in scaled.items()}
        loop = asyncio.get_running_loop()
        self._watch = loop.create_task(_watch(config, self._load, cloud))
        self._tell = loop.create_task(_tell(self._load, SpilledDemand(windows_s, self._load.service_s)))

    def __serve_build_asgi_app__(self) -> FastAPI:
        return http_app(self._router)

    async def reconfigure(self, user_config: JsonValue) -> None:
        """Serve's hook for a changed `user_config`: the next request follows it, running ones do not notice."""
        self._router.reconfigure(user_config)


def _handle_of(
    lane: Lane,
    engines: dict[str, DeploymentHandle[Any]],
    encoders: dict[str, DeploymentHandle[Any]],
    cloud: DeploymentHandle[Any] | None,
) -> DeploymentHandle[Any]:
    match lane:
        case EngineLane():
            return engines[lane.engine]
        case EncoderLane():
            return encoders[lane.name]
        case HttpLane():
            assert cloud is not None
            return cloud


async def _watch(config: Config, load: LaneLoad, cloud: DeploymentHandle[Any] | None) -> None:
    """Keep the load's view of lanes fresh, so that a request does not wait for a dead replica."""
    asked = cloud is None
    while True:
        try:
            await _look(config, load)
            if cloud is not None and not asked:
                load.switched_off(await asyncio.wait_for(cloud.off.remote(), 5))
                asked = True
        except Exception as error:  # a missing controller must not stop answers
            log.warning("cannot see the lanes' state: %s", type(error).__name__)
        await asyncio.sleep(1)


async def _look(config: Config, load: LaneLoad) -> None:
    if not (config.engines or config.encoders):
        return  # asking costs the controller and this process about 20 ms a time
    status = await asyncio.to_thread(serve.status)
    deployments = {name: d for app in status.applications.values() for name, d in app.deployments.items()}
    for name in config.engines:
        if (seen := deployments.get(engine_deployment(name))) is not None:
            replicas: dict[Any, int] = dict(seen.replica_states)
            load.engine(name, replicas.get("RUNNING", 0), f"engine {name} is {seen.status.value.lower()}")
    for lane in config.encoders:
        if (seen := deployments.get(encoder_deployment(lane.name))) is not None:
            replicas = dict(seen.replica_states)
            load.report(lane.name, replicas.get("RUNNING", 0), f"its encoder is {seen.status.value.lower()}")


async def _tell(load: LaneLoad, demand: SpilledDemand) -> None:
    """Let the autoscaler know what spilled past the engines: it sees only what reached them."""
    me, told = serve.get_replica_context(), False
    while True:
        found = {engine_deployment(name): value for name, value in demand.count(load.spills()).items()}
        if found or told:
            raw = scaling.document(found, time.time())
            try:
                await asyncio.to_thread(scaling.write_document, me.app_name, me.replica_id.unique_id, raw)
                told = bool(found)
            except Exception as error:  # a missing store must not stop answers
                log.warning("cannot tell the autoscaler what spilled: %s", type(error).__name__)
        await asyncio.sleep(1)


def engine_deployment(engine: str) -> str:
    """The Serve name of an engine."""
    return f"Engine-{engine}"


def encoder_deployment(lane: str) -> str:
    """The Serve name of the encoder behind a lane."""
    return f"Encoder-{lane}"


RouterDeployment = serve.deployment(name="Router")(RouterIngress)
