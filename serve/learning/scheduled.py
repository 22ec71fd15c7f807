"""Looks for a better table on a schedule: one Router of all at a time, in a process of its own, in nobody's way.

Nothing here can stop an answer: what fails is logged, counted, and tried again by whoever is there later.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from serve.config import Config
from serve.learning import runs
from serve.learning.look import Order, Seen
from serve.learning.placed import base_of
from serve.learning.store import TableStore
from serve.routing_table import RoutingTable

log = logging.getLogger("pointsman.learning")

AGAIN_S = 60.0
"""So long after somebody else had the run it is asked about again."""
ROOT = str(Path(__file__).parents[2])


class Scheduled:
    """Of one Router. `clock`: Unix seconds. `look` belongs to one thread, the rest to any.

    ended  outcomes of the runs that ended, for whoever counts them
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.ended: deque[str] = deque()
        self._clock = clock
        self._who = f"{socket.gethostname()}:{os.getpid()}"
        self._done: tuple[str, str] | None = None
        self._not_before = 0.0
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def look(self, store: TableStore, config: Config, table: RoutingTable) -> None:
        """Begin the run that is due, if nobody has it. Raises SQLAlchemyError."""
        period, base = runs.due(config.learning, config.sweeps, self._clock()), base_of(table)
        if period is None or self._done == (base, period) or time.monotonic() < self._not_before:
            return
        if self._thread is not None and self._thread.is_alive():
            return
        claim = runs.claim(store.engine, base, period, self._who, self._now())
        if claim == "done":
            self._done = (base, period)
        elif claim == "taken":
            self._not_before = time.monotonic() + AGAIN_S
        else:
            order = Order(url=config.state.resolve(), configured=table, share=config.learning.canary_share)
            self._thread = threading.Thread(
                target=self._run, args=(order, base, period), name="learning", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End what is being looked at; its run is made by another Router. Blocks."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.kill()
        if self._thread is not None:
            self._thread.join()

    def _run(self, order: Order, base: str, period: str) -> None:
        try:
            seen = self._seen(order)
            if self._closed:
                return
            store = TableStore(order.url)
            try:
                now = self._now()
                runs.end(store.engine, base, period, self._who, now, seen.outcome, seen.why, seen.version)
            finally:
                store.close()
        except Exception as error:  # a run that was lost must not end those that follow
            log.error("a run of learning was lost: %s", type(error).__name__)
            seen = Seen(outcome="failed", why=type(error).__name__)
        self.ended.append(seen.outcome)
        log.log(
            logging.ERROR if seen.outcome == "failed" else logging.INFO,
            "looked for a better routing table for %s: %s, %s",
            period,
            seen.outcome,
            seen.why,
        )

    def _seen(self, order: Order) -> Seen:
        """What the other process says. The order goes through a pipe: an address may hold a password."""
        paths = [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        one_core = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with self._lock:
            if self._closed:
                return Seen(outcome="failed", why="the Router ended")
            self._child = subprocess.Popen(
                [sys.executable, "-m", "serve.learning.look"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | one_core | {"PYTHONPATH": os.pathsep.join(paths)},
            )
        try:
            said, wrong = self._child.communicate(order.model_dump_json(), timeout=runs.LEASE_MS / 1000)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
            return Seen(outcome="failed", why="it took too long")
        if self._child.returncode == 0:
            return Seen.model_validate_json(said)
        return Seen(outcome="failed", why=_cause(wrong))

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _cause(told: str) -> str:
    """The kind of the error that ended the other process: its text may name the database's address."""
    end = told.strip().rpartition("\n")[2]
    return end.partition(":")[0].rpartition(".")[2] or "the process ended without a word"
