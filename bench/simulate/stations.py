"""Queues that a request passes: one server in order, and a writer that commits what waits together. Pure numbers."""

import numpy as np

from bench.simulate.calibration import Batched


def in_order(arrived: np.ndarray, service_s: float) -> np.ndarray:
    """When each leaves one server that takes `service_s` for each, first come first served."""
    turn = np.arange(len(arrived)) * service_s
    left: np.ndarray = np.maximum.accumulate(arrived - turn) + turn + service_s
    return left


def spread_over(
    arrived: np.ndarray, service_s: float, servers: int, random: np.random.Generator
) -> np.ndarray:
    """The same behind a proxy that hands each request to any of `servers`, whichever is busy."""
    left = np.empty_like(arrived)
    chosen = random.integers(0, servers, len(arrived))
    order = np.argsort(chosen, kind="stable")
    for own in np.split(order, np.searchsorted(chosen[order], np.arange(1, servers))):
        if len(own):
            left[own] = in_order(arrived[own], service_s)
    return left


def together(arrived: np.ndarray, writer: Batched) -> np.ndarray:
    """When each is committed: what comes during a commit goes into the next one, at most `writer.most` of them."""
    done = np.empty_like(arrived)
    first, free = 0, 0.0
    while first < len(arrived):
        begins = max(free, arrived[first])
        after = min(int(np.searchsorted(arrived, begins, side="right")), first + writer.most)
        free = begins + writer.commit_s + (after - first) * writer.entry_s
        done[first:after] = free
        first = after
    return done
