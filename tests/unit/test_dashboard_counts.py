"""How often a page reads every decision, how long a count is shown, and who is on it; on SQLite and PostgreSQL."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import event

from serve import state
from serve.dashboard import store as dashboard
from serve.dashboard.store import DashboardStore
from serve.outcomes import queries, report
from serve.outcomes.queries import MOST_LISTED
from serve.outcomes.row import Tracked
from serve.outcomes.store import Store
from serve.outcomes.tables import DECISIONS, TABLES
from tests.support.databases import KINDS, database
from tests.support.memory import memory_folder
from tests.unit.test_outcomes import NOW, WORD, settings, tracked

HOURS = 24


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with memory_folder() as folder, database(request.param, folder) as url:
        yield url


@pytest.fixture
def store(server: str) -> Iterator[Store]:
    opened = Store(server)
    yield opened
    TABLES.drop_all(opened.engine)
    opened.close()


@pytest.fixture
def page(store: Store) -> DashboardStore:
    return DashboardStore(store.engine)


def looks(store: Store) -> list[str]:
    """Every statement from now on that reads decisions."""
    found: list[str] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def seen(_c: object, _k: object, statement: str, *_more: object) -> None:
        if "FROM decisions" in statement:
            found.append(statement)

    return found


def sessions(number: int) -> list[Tracked]:
    """Sessions of one, two, three … decisions, and as many decisions again that belong to none."""
    found = [
        tracked(1000 * n + i, at=NOW - i, session=f"s{n:03}") for n in range(number) for i in range(n + 1)
    ]
    return found + [tracked(10**6 + i, at=NOW - i) for i in range(number)]


def test_the_dashboard_looks_at_every_decision_five_times_at_most(store: Store, page: DashboardStore) -> None:
    store.write([tracked(n, at=NOW - n, session="s") for n in range(9)])
    seen = looks(store)
    page.kept(HOURS, NOW, {})
    # The groups, the timeline, the p95, the busiest sessions, what they cost; and the thirty newest.
    assert len(seen) == 5 + 1


def test_the_report_groups_what_feedback_is_joined_to_in_two_looks(store: Store) -> None:
    store.write([tracked(n, at=NOW - n, session="s") for n in range(9)])
    seen = looks(store)
    report.read(store.engine, settings(), 3600, NOW / 1000)
    assert sum("LEFT OUTER JOIN" in one and "baseline" in one for one in seen) == 2


def test_a_count_that_took_long_is_shown_again_and_what_is_quick_is_new(
    store: Store, page: DashboardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "QUICK_S", -1.0)
    monkeypatch.setattr(dashboard, "IDLE_SHARE", 1e6)
    store.write([tracked(0, at=NOW - 1)])
    first = page.kept(HOURS, NOW, {})
    store.write([tracked(1, at=NOW)])
    again = page.kept(HOURS, NOW + 5000, {})
    assert (again.at, again.totals, again.tasks) == (NOW, first.totals, first.tasks)
    assert len(again.recent) == 2
    other = page.kept(1, NOW + 5000, {})
    assert (other.at, other.totals.requests) == (NOW + 5000, 2)
    assert page.kept(HOURS, NOW + 5000, {}).at == NOW
    assert page.kept(HOURS, NOW + 5000, {}, 1.0).totals.requests == 2


def test_what_was_quickly_counted_is_counted_anew(
    store: Store, page: DashboardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "QUICK_S", math.inf)
    page.kept(HOURS, NOW, {})
    store.write([tracked(0, at=NOW)])
    assert page.kept(HOURS, NOW + 5000, {}).totals.requests == 1


def test_the_busiest_sessions_fill_the_page_and_those_of_no_session_take_no_place(store: Store) -> None:
    store.write(sessions(MOST_LISTED + 10))
    store.say(replace(WORD, decision_id="dec_59000", success=False))
    found = report.read(store.engine, settings(), 3600, NOW / 1000)
    named = [(group.name, group.decisions) for group in found.by_session]
    assert named == [(f"s{n:03}", n + 1) for n in range(MOST_LISTED + 9, 9, -1)]
    first = found.by_session[0]
    assert (first.successes, first.failures, first.judged) == (MOST_LISTED + 9, 1, 1)


@pytest.mark.parametrize("number", [1, 2, 19, 20, 21, 100])
def test_a_percentile_is_the_same_from_either_end(store: Store, page: DashboardStore, number: int) -> None:
    store.write(
        [tracked(n, at=NOW - n, latency_ms=n * 7 % number, overhead_ms=float(n)) for n in range(number)]
    )
    times = sorted(n * 7 % number for n in range(number))
    with store.engine.connect().execution_options(**state.READ_ONLY) as connection:
        where = DECISIONS.c.error.is_(None)
        shares = (0.0, 0.05, 0.5, 0.95, 1.0)
        found = queries.percentiles(connection, 0, DECISIONS.c.latency_ms, where, shares)
    assert found == [times[min(number - 1, int(number * share))] for share in shares]
    assert page.kept(HOURS, NOW, {}).totals.local_p95_ms == times[math.ceil(number * 0.95) - 1]


def test_the_tables_of_the_dashboard_add_up(store: Store, page: DashboardStore) -> None:
    cloud = {"lane": "cloud-openai", "location": "global", "tier": 2, "cost": 1000, "billed": 1000}
    nobody = {"lane": None, "location": None, "tier": None, "verdict": None, "error": "lanes_failed"}
    store.write([
        *(tracked(n, at=NOW - n, baseline=7) for n in range(6)),
        *(tracked(n, at=NOW - n, task="translation", fallbacks=1, spilled=True, **cloud) for n in range(6, 10)),
        tracked(10, at=NOW, escalations=2, **nobody),
    ])  # fmt: skip
    store.say(replace(WORD, decision_id="dec_3", success=False))
    found = page.kept(HOURS, NOW, {})
    all_, tasks = found.totals, {task.task: task for task in found.tasks}
    assert (all_.requests, all_.local, all_.cloud, all_.failed, all_.tier1) == (11, 6, 4, 1, 6)
    assert (all_.fallbacks, all_.escalations, all_.spilled) == (4, 1, 4)
    assert (all_.cost, all_.always_cloud) == (4000, 6 * 7 + 5 * 100)
    one = tasks["analysis"]
    assert [task.task for task in found.tasks] == ["analysis", "translation"]
    assert (one.requests, one.local, one.good, one.told, one.escalations) == (7, 6, 5, 1, 1)
    assert sum(task.requests for task in found.tasks) == all_.requests
    assert sum(task.cost for task in found.tasks) == sum(part.cost for part in found.timeline) == all_.cost
