"""The faults, one after another: what is done, and what has to hold.

docs/reliability.md lists them for readers. Each leaves the rig to `scene.heal`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from bench.chaos.figures import Row
from bench.chaos.rig import DEADLINE_S, LANE_TAKES
from bench.chaos.scene import Fault, Scene
from bench.chaos.traffic import Load

UNSURE = "Explain how number {serial} relates to primes and prove it."
CONFIDENTIAL = {"x-pointsman-sensitivity": "confidential"}
BURST = 4 * 2 * LANE_TAKES
KILLS = 5
RETRY_FLOOR = 10


async def _kill_lanes(scene: Scene) -> None:
    for _ in range(KILLS if scene.seconds >= 20 else 2):
        lane = scene.busiest()
        await scene.strike(lane.kill)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(lane.start)
        await asyncio.sleep(3.5)


async def _freeze_lane(scene: Scene) -> None:
    await scene.strike(scene.rig.local.freeze)


def _local_plays(fault: str) -> Callable[[Scene], Awaitable[None]]:
    async def act(scene: Scene) -> None:
        await scene.strike(scene.rig.local.play, fault)
        await scene.rest()
        scene.seen["hits at the lane"] = await asyncio.to_thread(scene.rig.local.hits)

    return act


async def _cut_all_streams(scene: Scene) -> None:
    def cut() -> None:
        for lane in scene.rig.lanes:
            lane.play("err_in_stream_2")

    await scene.strike(cut)


async def _fail_cloud(scene: Scene) -> None:
    before, asked = await asyncio.to_thread(scene.rig.cloud.hits), len(scene.traffic.outcomes)
    await scene.strike(scene.rig.cloud.play, "500")
    await scene.rest()
    scene.seen["cloud hits"] = await asyncio.to_thread(scene.rig.cloud.hits) - before
    scene.seen["asked meanwhile"] = len(scene.traffic.outcomes) - asked


def _kill(part: str, count: int | None = None) -> Callable[[Scene], Awaitable[None]]:
    async def act(scene: Scene) -> None:
        victims = await scene.strike(scene.rig.kill, part, count)
        await scene.back(part, victims)
        # Some traffic after the return shows whether it is one.
        await asyncio.sleep(2)

    return act


async def _freeze_scout(scene: Scene) -> None:
    await scene.strike(scene.rig.freeze, "Scout")


async def _fill_disk(scene: Scene) -> None:
    await scene.strike(scene.rig.fill_disk, True)


async def _burst(scene: Scene) -> None:
    before = await asyncio.to_thread(scene.rig.rss_mib, "Router")
    await scene.strike(lambda: None)
    await scene.traffic.once(BURST)
    scene.seen["Router RSS MiB more"] = round(
        await asyncio.to_thread(scene.rig.rss_mib, "Router") - before, 1
    )


async def _confidential_without_locals(scene: Scene) -> None:
    before = await asyncio.to_thread(scene.rig.cloud.hits)

    def kill() -> None:
        scene.rig.local.kill()
        scene.rig.spare.kill()

    await scene.strike(kill)
    await scene.traffic.once(24)
    scene.seen["cloud hits"] = await asyncio.to_thread(scene.rig.cloud.hits) - before


def _within_deadline(row: Row) -> Iterator[str]:
    if row.p99 > DEADLINE_S:
        yield f"p99 {row.p99:.1f} s is over the deadline of {DEADLINE_S:.0f} s"


def _errors_are(row: Row, *codes: str) -> Iterator[str]:
    if other := {code: count for code, count in row.codes.items() if not code.endswith(codes)}:
        yield f"other errors than {' and '.join(codes)}: {other}"
    if not row.errors:
        yield "nobody saw the error that should have been seen"


def _interrupted(row: Row) -> Iterator[str]:
    yield from _errors_are(row, "upstream_interrupted")


def _stays_here(row: Row) -> Iterator[str]:
    yield from _errors_are(row, "no_lane_available")
    if row.seen["cloud hits"] or row.lanes.get("cloud"):
        yield f"confidential requests at the cloud: {row.seen['cloud hits']}"


def _retry_budget(row: Row) -> Iterator[str]:
    hits, asked = row.seen["cloud hits"], row.seen["asked meanwhile"]
    if hits > 1.2 * asked + RETRY_FLOOR:
        yield f"{hits} calls of the cloud for {asked} requests"


def _small_growth(row: Row) -> Iterator[str]:
    if (more := row.seen["Router RSS MiB more"]) > 100:
        yield f"the Routers grew by {more} MiB"


FAULTS: tuple[Fault, ...] = (
    Fault(
        "lane-killed",
        "R1",
        "SIGKILL the busiest local lane every 5 s",
        _kill_lanes,
        seconds=55,
        promises=_within_deadline,
    ),
    Fault(
        "dies-before-first-token",
        "R2",
        "the first lane accepts every stream and closes it",
        _local_plays("die_before_first"),
        Load(streams="all"),
    ),
    Fault(
        "router-killed",
        "R3",
        "SIGKILL one of two Routers",
        _kill("Router", 1),
        Load(streams="none"),  # the SDK does not ask again for a stream that has begun
    ),
    Fault("lane-frozen", "R6", "SIGSTOP the first lane", _freeze_lane, promises=_within_deadline),
    Fault(
        "lane-slow",
        "R7",
        "the first lane needs 20 times as long",
        _local_plays("slow_head_5000"),
        promises=_within_deadline,
    ),
    Fault("rate-limited", "R10", "the first lane answers 429, Retry-After: 1", _local_plays("429")),
    Fault(
        "cloud-fails",
        "R9",
        "the cloud answers 500 to everything, and is asked first",
        _fail_cloud,
        Load(headers={"x-pointsman-prefer": "cloud"}),
        promises=_retry_budget,
    ),
    Fault(
        "streams-cut",
        "S1",
        "every lane cuts every stream after two tokens",
        _cut_all_streams,
        Load(streams="all"),
        seconds=5,
        invisible=False,
        promises=_interrupted,
    ),
    Fault("cloudproxy-killed", "R1", "SIGKILL one of two CloudProxies", _kill("CloudProxy", 1)),
    Fault("scout-killed", "R17", "SIGKILL the Scout", _kill("Scout"), Load(UNSURE), needs_scout=True),
    Fault("scout-frozen", "R17", "SIGSTOP the Scout", _freeze_scout, Load(UNSURE), needs_scout=True),
    Fault("controller-killed", "R5", "SIGKILL Serve's controller", _kill("controller")),
    Fault("disk-full", "A3", "replicas cannot write a byte to any file", _fill_disk),
    Fault(
        "burst",
        "R12",
        f"{BURST} requests at once: four times what the local lanes take",
        _burst,
        seconds=0,
        promises=_small_growth,
    ),
    Fault(
        "confidential-without-locals",
        "R13",
        "SIGKILL both local lanes under confidential requests",
        _confidential_without_locals,
        Load(headers=CONFIDENTIAL),
        seconds=0,
        invisible=False,
        promises=_stays_here,
    ),
    Fault("haproxy-killed", "R4", "SIGKILL the HAProxy process", _kill("HAProxy")),
    Fault(
        "proxy-killed",
        "R4",
        "SIGKILL the actor that keeps HAProxy",
        _kill("HAProxy's keeper"),
    ),
)
