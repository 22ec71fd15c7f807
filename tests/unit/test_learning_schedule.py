"""Learning on a schedule: when it is due, that one Router alone makes a run, and that another one takes over."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from serve.learning import runs
from serve.learning.config import LearningConfig
from serve.learning.desk import Tables
from serve.learning.look import Order, look
from serve.learning.placed import base_of
from serve.learning.store import TableStore, Told
from serve.learning.tables import TABLES
from serve.routing_table import flat
from serve.sweeps.config import SweepsConfig
from tests.support.databases import KINDS, database
from tests.support.learning import NOW, table
from tests.support.memory import memory_folder

BASE = base_of(table())


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with memory_folder() as folder, database(request.param, folder) as url:
        yield url


@pytest.fixture
def store(server: str) -> Iterator[TableStore]:
    opened = TableStore(server)
    yield opened
    TABLES.drop_all(opened.engine)
    opened.close()


@pytest.mark.parametrize(
    ("learning", "sweeps", "now", "period"),
    [
        ({}, {}, "2026-11-21T12:00", None),
        ({}, {"enabled": True}, "2026-11-21T12:00", "2026-W47"),
        ({"every": "never"}, {"enabled": True}, "2026-11-21T12:00", None),
        ({"every": "week", "enabled": False}, {}, "2026-11-21T12:00", None),
        ({"every": "week"}, {}, "2026-11-21T12:00", "2026-W47"),
        ({"every": "day"}, {}, "2026-11-21T00:00", "2026-11-21"),
        # A run waits for the sweep of its period.
        ({}, {"enabled": True}, "2026-11-16T23:59", "2026-W46"),
        ({}, {"enabled": True}, "2026-11-17T00:00", "2026-W47"),
        ({}, {"enabled": True, "open_hours": 168}, "2026-11-21T12:00", "2026-W46"),
        ({"every": "day"}, {"enabled": True}, "2026-11-16T01:00", "2026-11-16"),
    ],
)
def test_when_a_run_is_due(
    learning: dict[str, object], sweeps: dict[str, object], now: str, period: str | None
) -> None:
    settings = LearningConfig.model_validate(learning), SweepsConfig.model_validate(sweeps)
    assert runs.due(*settings, at(now)) == period


def test_of_many_routers_one_makes_the_run(store: TableStore, server: str) -> None:
    claims: list[str] = []
    together = threading.Barrier(6)

    def claim(who: str) -> None:
        own = TableStore(server)
        together.wait(60)
        claims.append(runs.claim(own.engine, BASE, "2026-W47", who, NOW))
        own.close()

    threads = [threading.Thread(target=claim, args=(f"host:{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(claims) == ["mine"] + ["taken"] * 5


def test_a_period_has_one_run_though_clocks_jump(store: TableStore) -> None:
    assert runs.claim(store.engine, BASE, "2026-W47", "a", NOW) == "mine"
    runs.end(store.engine, BASE, "2026-W47", "a", NOW + 5, "nothing", "too few", None)
    for now in (NOW - 10**10, NOW, NOW + 10**10):
        assert runs.claim(store.engine, BASE, "2026-W47", "b", now) == "done"
    (run,) = runs.last(store.engine, BASE)
    assert (run.who, run.ended, run.outcome, run.why) == ("a", NOW + 5, "nothing", "too few")
    assert runs.last(store.engine, "another base") == []


@pytest.mark.parametrize("died", [True, False])
def test_a_run_whose_router_died_or_that_failed_is_made_again_later(store: TableStore, died: bool) -> None:
    assert runs.claim(store.engine, BASE, "2026-W47", "a", NOW) == "mine"
    if not died:
        runs.end(store.engine, BASE, "2026-W47", "a", NOW, "failed", "OperationalError", None)
    assert runs.claim(store.engine, BASE, "2026-W47", "b", NOW + runs.LEASE_MS - 1) == "taken"
    assert runs.claim(store.engine, BASE, "2026-W47", "b", NOW + runs.LEASE_MS) == "mine"
    runs.end(store.engine, BASE, "2026-W47", "a", NOW, "trial", "too late", "learned-1")  # has lost it
    assert runs.last(store.engine, BASE)[0].outcome is None


def test_a_look_says_what_came_of_it(store: TableStore, server: str) -> None:
    order = Order(url=server, configured=table(), share=0.1)
    seen = look(order, NOW)
    assert (seen.outcome, "too few" in seen.why, seen.version) == ("nothing", True, None)
    store.keep(BASE, flat(1, table()), Told("ann", NOW, "x"))
    Tables(store, table()).attempt("tier-1", 0.1, 1e5, Told("ann", NOW, "x"))
    seen = look(order, NOW)
    assert (seen.outcome, seen.why) == ("busy", "tier-1 is on trial")
