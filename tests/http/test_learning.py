"""A Router that follows routing tables, over real HTTP: within seconds, no restart, and never past the policy."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from serve.learning import runs
from serve.learning.desk import Tables
from serve.learning.placed import base_of
from serve.learning.store import TableStore, Told
from serve.outcomes.row import Chosen, Entry, Tracked
from serve.outcomes.store import Store
from serve.routing_table import RoutingTable, Tier, flat
from tests.http.test_metrics import scrape, total
from tests.support.learning import NOW, ROW, table
from tests.support.serving import config, reloadable
from tests.support.upstream import ThreadedUpstream

ME = Told("ann", 1_780_000_000_000, "a test")
IBAN = "Write to my bank about DE89370400440532013000"


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain"
        time.sleep(0.02)


class Served:
    """A running Router whose policy reads a table: everything to one tier."""

    def __init__(
        self,
        stack: ExitStack,
        folder: Path,
        tier: Tier = 1,
        sweeps: dict[str, Any] | None = None,
        **learning: Any,
    ) -> None:
        self.path = folder / "state.db"
        self.configured = flat(tier, table())
        local, self.cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        rule = {
            "name": "by_task",
            "tier": "table",
            "prefer": ["local-general"],
            "because": "the table says so",
        }
        policy = {"table": self.configured.model_dump(), "rules": [rule]}
        settings = config(
            local.url,
            self.cloud.url,
            policy=policy,
            state={"url": f"sqlite:///{self.path}"},
            learning={"poll_s": 0.1} | learning,
            sweeps=sweeps or {},
            prices={
                "version": "test",
                "lanes": {"cloud-openai": {"input": 1.0, "output": 2.0}},
                "unlisted": {"input": 1.0, "output": 2.0},
            },
        )
        self.url, self.reload, _ = stack.enter_context(reloadable(settings))
        self.store = TableStore(f"sqlite:///{self.path}")
        stack.callback(self.store.close)
        self.tables = Tables(self.store, self.configured)

    def ask(self, text: str = "hello", **headers: str) -> httpx2.Response:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        return httpx2.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=60)

    def lane(self, text: str = "hello", **headers: str) -> str:
        return self.ask(text, **headers).headers["x-pointsman-lane"]

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx2.get(f"{self.url}/readyz", timeout=60).json()["tables"]
        return found

    def keep(self, one: RoutingTable) -> str:
        self.store.keep(base_of(self.configured), one, ME)
        return one.version

    def rows(self, table: str) -> list[dict[str, Any]]:
        connection = sqlite3.connect(self.path)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY at")]  # noqa: S608
        finally:
            connection.close()

    def choices(self) -> list[dict[str, Any]]:
        return self.rows("decision_choices")


def tried(trial: int, count: int) -> Iterator[Entry]:
    """Outcomes of a trial whose canary fails."""
    for number in range(count):
        mine = number % 2 == 0
        name, error = f"dec_{number:04}", "lanes_failed" if mine else None
        lot, tier = ("canary", 2) if mine else ("current", 1)
        yield Tracked(replace(ROW, decision_id=name, at=NOW + number, error=error), ())
        yield Chosen(name, NOW + number, "made-up", lot, trial, True, ROW.task, 0.1, tier, 0.5, 0.5, 0.0)


@pytest.fixture
def serve_tables(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    with ExitStack() as stack:
        yield lambda **learning: Served(stack, tmp_path, **learning)


def test_a_promoted_table_decides_without_a_restart_and_can_be_taken_back(
    serve_tables: Callable[..., Served],
) -> None:
    served = serve_tables()
    assert served.lane() == "local-general"
    version = served.keep(flat(2, table()))
    served.tables.promote(version, ME)
    until(lambda: served.status()["current"] == "tier-2")
    assert served.lane() == "cloud-openai"
    assert served.lane(IBAN) == "local-general"  # whatever a table wants: the class of the data decides first
    assert IBAN.encode() not in b"".join(request.body for request in served.cloud.requests)
    served.tables.roll_back(ME)
    until(lambda: served.status()["current"] == "tier-1")
    assert served.lane() == "local-general"


def test_a_session_stays_with_its_table_while_another_is_on_trial(
    serve_tables: Callable[..., Served],
) -> None:
    served = serve_tables()
    served.tables.attempt(served.keep(flat(2, table())), 0.5, 1e9, ME)
    until(lambda: served.status()["canary"] == "tier-2")
    assert served.status() == {"current": "tier-1", "canary": "tier-2", "share": 0.5}
    lanes = {name: {served.lane(**{"x-pointsman-session": name}) for _ in range(2)} for name in "abcdefgh"}
    assert {len(found) for found in lanes.values()} == {1}
    assert set.union(*lanes.values()) == {"local-general", "cloud-openai"}
    until(lambda: len(served.choices()) == 16)
    rows = served.choices()
    assert {row["lot"] for row in rows} == {"current", "canary"}
    for row in rows:
        assert (row["p1"], row["p2"], row["p3"]) == (0.5, 0.5, 0.0)
        assert row["apart"] == 1
        assert row["tier"] == (2 if row["lot"] == "canary" else 1)


def test_what_the_client_chose_itself_says_nothing_of_the_table(serve_tables: Callable[..., Served]) -> None:
    served = serve_tables()
    assert served.lane(**{"x-pointsman-prefer": "cloud"}) == "cloud-openai"
    assert served.lane() == "local-general"
    until(lambda: len(served.choices()) == 1)
    assert served.choices()[0]["lot"] == "current"


def test_exploration_has_its_share_and_its_probability(serve_tables: Callable[..., Served]) -> None:
    served = serve_tables(explore=0.3)
    lanes: list[str] = []
    # One in five goes elsewhere: in vain 100 times in a row never happens.
    while "local-general" not in lanes or len(set(lanes)) < 2:
        lanes.append(served.lane(f"hello {len(lanes)}"))
        assert len(lanes) < 100
    until(lambda: len(served.choices()) == len(lanes))
    for row in served.choices():
        assert (row["p1"], row["p2"], row["p3"]) == pytest.approx((0.8, 0.1, 0.1))


SWEEPS = {"enabled": True, "every": "day", "open_hours": 24, "share": 1.0}


def test_learning_reads_what_a_sweep_found_out(serve_tables: Callable[..., Served]) -> None:
    served = serve_tables(tier=2, sweeps=SWEEPS)
    assert served.lane() == "cloud-openai"
    assert served.lane(IBAN) == "local-general"  # whatever the table says: the same lane would have answered
    until(lambda: len(served.store.log(0)) == 2 and bool(served.store.log(0).seen[0, 0]))
    log = served.store.log(0)
    assert log.chance.tolist() == [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]
    assert log.success[0].tolist() == [1.0, 1.0, 0.0]
    assert log.cost[0, 0] < log.cost[0, 1]


def test_a_sweep_of_all_lower_tiers_asks_one_of_them_with_known_chances(
    serve_tables: Callable[..., Served],
) -> None:
    served = serve_tables(tier=3, sweeps=SWEEPS | {"reach": "all"})
    assert served.lane() == "cloud-anthropic"
    until(lambda: len(served.store.log(0)) == 1 and int(served.store.log(0).seen.sum()) == 2)
    assert served.rows("decision_sweeps")[0] | {"at": 0, "decision_id": ""} == {
        "decision_id": "",
        "at": 0,
        "lanes": 0b111,
        "s1": 0.5,
        "s2": 0.5,
    }


def test_a_router_looks_for_a_better_table_on_schedule(serve_tables: Callable[..., Served]) -> None:
    served = serve_tables(every="day")
    base = base_of(served.configured)
    # A process of the lowest priority has to start for it.
    until(lambda: any(run.ended for run in runs.last(served.store.engine, base)), 300)
    run = runs.last(served.store.engine, base)[0]
    assert (run.outcome, run.version) == ("nothing", None)
    assert run.why is not None
    assert "too few" in run.why
    until(lambda: total(scrape(served.url), "pointsman_learning_runs_total", outcome="nothing") >= 1)
    assert served.lane() == "local-general"


def test_a_trial_that_fails_is_rolled_back_by_the_router_itself(serve_tables: Callable[..., Served]) -> None:
    served = serve_tables()
    served.tables.attempt(served.keep(flat(2, table())), 0.5, 1e9, ME)
    until(lambda: served.status()["canary"] == "tier-2")
    outcomes = Store(f"sqlite:///{served.path}")
    outcomes.write(list(tried(served.tables.last().seq, 600)))
    outcomes.close()
    until(lambda: served.status()["canary"] is None)
    last = served.tables.last()
    assert (last.what, last.who, last.current) == ("rolled_back", "trial", None)
    assert served.lane() == "local-general"


def test_another_table_in_the_configuration_takes_over(serve_tables: Callable[..., Served]) -> None:
    served = serve_tables()
    served.tables.promote(served.keep(flat(2, table())), ME)
    until(lambda: served.status()["current"] == "tier-2")
    mine = flat(3, table()).model_copy(update={"version": "mine"})
    served.reload({"policy": {"table": mine.model_dump(mode="json")}})
    assert served.status()["current"] == "mine"
    assert served.lane() == "cloud-anthropic"


def test_without_learning_the_configured_table_decides_whatever_the_database_says(
    serve_tables: Callable[..., Served],
) -> None:
    served = serve_tables(enabled=False)
    served.tables.promote(served.keep(flat(2, table())), ME)
    assert served.lane() == "local-general"
    assert served.status() == {"current": None, "canary": None, "share": 0.0}


def test_a_database_that_cannot_be_opened_leaves_the_configured_table(tmp_path: Path) -> None:
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        rule = {
            "name": "by_task",
            "tier": "table",
            "prefer": ["local-general"],
            "because": "the table says so",
        }
        (tmp_path / "no").write_text("a file where a folder should be")
        settings = config(
            local.url,
            cloud.url,
            policy={"table": flat(1, table()).model_dump(), "rules": [rule]},
            state={"url": f"sqlite:///{tmp_path}/no/state.db"},
            learning={"poll_s": 0.1},
            audit={"enabled": False},
        )
        url, _, _ = stack.enter_context(reloadable(settings))
        body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
        for _ in range(3):
            answer = httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=60)
            assert (answer.status_code, answer.headers["x-pointsman-lane"]) == (200, "local-general")
