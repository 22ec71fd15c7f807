"""The autoscaling policy of engines: the queue that Serve sees, and the requests that spilled past it.

Runs inside Serve's controller, which gets this file by value: it imports nothing of Pointsman.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Serve pickles what this module holds; the type is for readers
    from ray.serve.config import AutoscalingContext

NAMESPACE = "pointsman"
FRESH_S = 10.0
FORGET_S = 3600.0
SLACK = 0.2


def replicas(demand: float, current: int, *, target: float, lowest: int, highest: int) -> int:
    """How many replicas `demand` concurrent requests need, at `target` each.

    Within `lowest` and `highest`, never less for more demand. A replica goes only when the rest could carry
    20 % more than there is, so the same demand never gives two answers in turn.
    """
    if demand <= 0:
        return lowest
    needed, ample = math.ceil(demand / target), math.ceil(demand * (1 + SLACK) / target)
    return max(lowest, min(highest, max(needed, min(current, ample))))


def published(application: str, router: str) -> str:
    """The key under which one router says how many places its spilled requests would have taken."""
    return f"spilled:{application}:{router}"


def document(demand: Mapping[str, float], now: float) -> bytes:
    """What a router publishes: concurrent requests by deployment, and the wall clock."""
    return json.dumps({"at": now, "demand": dict(demand)}).encode()


def spilled(documents: Iterable[bytes], deployment: str, now: float) -> float:
    """Concurrent requests that all routers together spilled past `deployment`; what is old or broken counts 0."""
    return sum(_places(raw, deployment) for raw in documents if abs(_age_s(raw, now)) <= FRESH_S)


def _places(raw: bytes, deployment: str) -> float:
    try:
        places = float(json.loads(raw)["demand"].get(deployment, 0.0))
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0.0
    return max(0.0, places) if math.isfinite(places) else 0.0


def _age_s(raw: bytes, now: float | None = None) -> float:
    """Seconds since a document was written; endless when it does not say."""
    try:
        return (time.time() if now is None else now) - float(json.loads(raw)["at"])
    except (ValueError, KeyError, TypeError):
        return math.inf


class ByQueueAndSpill:
    """A Serve autoscaling policy. One per deployment; Serve adds its delays and bounds to what it says."""

    def __init__(self, read: Callable[[str], list[bytes]] | None = None, refresh_s: float = 1.0) -> None:
        self._read = read or read_documents
        self._refresh_s = refresh_s
        self._documents: list[bytes] = []
        self._next = 0.0

    def __call__(self, ctx: "AutoscalingContext") -> tuple[int, dict[str, Any]]:
        """Replicas wanted now, and no state: what routers publish is already a mean."""
        assert ctx.config is not None
        self._refresh(ctx.app_name or "")
        demand = ctx.total_num_requests + spilled(self._documents, ctx.deployment_name, time.time())
        wanted = replicas(
            demand,
            ctx.target_num_replicas,
            target=ctx.config.get_target_ongoing_requests(),
            lowest=ctx.capacity_adjusted_min_replicas,
            highest=ctx.capacity_adjusted_max_replicas,
        )
        # Nobody runs yet: what was asked for is on its way, and whoever asked may have left meanwhile.
        return (max(wanted, ctx.target_num_replicas) if ctx.current_num_replicas == 0 else wanted), {}

    def _refresh(self, application: str) -> None:
        if time.monotonic() < self._next:
            return
        try:
            self._documents, wait = self._read(application), self._refresh_s
        except Exception:  # the controller must go on; Serve's own queue metrics still count
            self._documents, wait = [], 10 * self._refresh_s
        self._next = time.monotonic() + wait


def read_documents(application: str) -> list[bytes]:
    """What the routers of `application` last published, from the cluster's key-value store."""
    from ray.experimental import internal_kv

    store: Any = internal_kv.global_gcs_client
    space = NAMESPACE.encode()
    keys = store.internal_kv_keys(published(application, "").encode(), space, 1)
    found: dict[bytes, bytes] = store.internal_kv_multi_get(keys, space, 1) if keys else {}
    for key, raw in found.items():
        if _age_s(raw) > FORGET_S:  # a router that is no more
            store.internal_kv_del(key, False, space, 1)
    return list(found.values())


def write_document(application: str, router: str, raw: bytes) -> None:
    """Publish for `read_documents`."""
    from ray.experimental import internal_kv

    store: Any = internal_kv.global_gcs_client
    store.internal_kv_put(published(application, router).encode(), raw, True, NAMESPACE.encode(), 1)
