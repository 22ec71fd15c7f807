"""Routing tables in a database, SQLite and PostgreSQL: kept, tried, promoted, rolled back, and never lost."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from serve.cli import app
from serve.learning import runs
from serve.learning.desk import TRIAL, Tables
from serve.learning.explained import differences, proof
from serve.learning.log import TASKS
from serve.learning.look import WHO, Order, look
from serve.learning.placed import base_of
from serve.learning.propose import USUAL, Proposal
from serve.learning.store import NOTHING, TableRefused, TableStore, Told
from serve.learning.tables import TABLES
from serve.outcomes import tables as outcome_tables
from serve.outcomes.row import Chosen, Sampled, Step, Tracked
from serve.outcomes.store import Store
from serve.routing_table import RoutingTable, flat
from serve.sweeps import store as sweeps
from serve.sweeps import tables as sweep_tables
from serve.sweeps.result import Result
from tests.support.databases import KINDS, database
from tests.support.learning import EASY, NOW, ROW, logged, table, world
from tests.support.memory import memory_folder

ME = Told("ann", NOW, "she said so", {"low": 0.1})
CHOICE = Chosen("dec_0", NOW, "made-up", "current", None, False, EASY, 0.2, 1, 1.0, 0.0, 0.0)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with memory_folder() as folder, database(request.param, folder) as url:
        yield url


@pytest.fixture
def store(server: str) -> Iterator[TableStore]:
    opened = TableStore(server)
    yield opened
    TABLES.drop_all(opened._engine)
    outcome_tables.TABLES.drop_all(opened._engine)
    sweep_tables.TABLES.drop_all(opened._engine)
    opened.close()


def tables(store: TableStore, *kept: RoutingTable) -> Tables:
    for one in kept:
        store.keep(base_of(table()), one, ME)
    return Tables(store, table())


def test_nothing_was_changed_in_an_empty_database(store: TableStore) -> None:
    known = tables(store)
    assert (known.placed(), known.last(), known.current()) == (None, NOTHING, table())
    assert known.settle(NOW) is None
    with pytest.raises(TableRefused, match="nothing to roll back"):
        known.roll_back(ME)


def test_the_configured_table_is_not_tried_against_itself(store: TableStore) -> None:
    known = tables(store, table())
    with pytest.raises(TableRefused, match="in force already"):
        known.attempt(table().version, 0.1, 1.0, ME)
    with pytest.raises(TableRefused, match="in force already"):
        known.promote(table().version, ME)
    assert known.placed() is None


def test_a_table_is_tried_promoted_and_rolled_back_and_every_step_is_kept(store: TableStore) -> None:
    known = tables(store, flat(1, table()), flat(3, table()))
    known.attempt("tier-1", 0.2, 500.0, ME)
    placed = known.placed()
    assert placed is not None
    assert (placed.current, placed.canary, placed.share, placed.worth) == (None, flat(1, table()), 0.2, 500.0)
    known.promote("tier-1", ME)
    known.promote("tier-3", ME)
    assert known.current() == flat(3, table())
    known.roll_back(ME)
    assert known.current() == flat(1, table())
    known.roll_back(ME)
    assert known.current() == table()
    with pytest.raises(TableRefused, match="nothing to roll back"):
        known.roll_back(ME)
    changes = store.changes(base_of(table()))
    assert [one.what for one in changes] == ["rolled_back", "rolled_back", "promoted", "promoted", "canary"]
    assert {(one.who, one.why, one.at) for one in changes} == {("ann", "she said so", NOW)}
    assert changes[0].evidence == {"low": 0.1}
    assert {one.table.version for one in store.versions(base_of(table()))} == {"tier-1", "tier-3"}


def test_to_roll_back_a_trial_leaves_what_was_in_force(store: TableStore) -> None:
    known = tables(store, flat(1, table()), flat(3, table()))
    known.promote("tier-1", ME)
    known.attempt("tier-3", 0.1, 1.0, ME)
    with pytest.raises(TableRefused, match="on trial"):
        known.attempt("tier-3", 0.1, 1.0, ME)
    known.roll_back(ME)
    placed = known.placed()
    assert placed is not None
    assert (placed.current, placed.canary, placed.share) == (flat(1, table()), None, 0.0)


def test_what_cannot_be_done_is_refused_and_changes_nothing(store: TableStore) -> None:
    known = tables(store, flat(1, table()))
    with pytest.raises(TableRefused, match="no table called missing"):
        known.promote("missing", ME)
    with pytest.raises(TableRefused, match="says something else"):
        store.keep(base_of(table()), flat(3, table()).model_copy(update={"version": "tier-1"}), ME)
    store.keep(base_of(table()), flat(1, table()), ME)  # the same again is no change
    known.promote("tier-1", ME)
    with pytest.raises(TableRefused, match="in force already"):
        known.promote("tier-1", ME)
    again = flat(1, table()).model_copy(update={"version": "tier-1-again"})
    store.keep(base_of(table()), again, ME)
    with pytest.raises(TableRefused, match="tier-1-again is in force already"):
        known.attempt("tier-1-again", 0.1, 1.0, ME)
    with pytest.raises(TableRefused, match="somebody else"):
        store.put(base_of(table()), replace(NOTHING, what="promoted", current="tier-1"), after=0)
    assert len(store.changes(base_of(table()))) == 1


def test_tables_of_another_configuration_are_not_mixed_in(store: TableStore) -> None:
    tables(store, flat(1, table())).promote("tier-1", ME)
    other = Tables(store, table(**{EASY: (3, None)}))
    assert other.placed() is None
    with pytest.raises(TableRefused, match="no table called tier-1"):
        other.promote("tier-1", ME)


def test_of_many_who_change_at_once_one_wins(store: TableStore, server: str) -> None:
    tables(store, flat(1, table()))
    done: list[str] = []
    together = threading.Barrier(6)

    def change() -> None:
        own = TableStore(server)
        together.wait(60)
        try:
            own.put(base_of(table()), replace(NOTHING, what="promoted", current="tier-1"), after=0)
            done.append("won")
        except TableRefused:
            done.append("refused")
        finally:
            own.close()

    threads = [threading.Thread(target=change) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == ["refused"] * 5 + ["won"]
    assert len(store.changes(base_of(table()))) == 1


def named(found: RoutingTable, version: str) -> Proposal:
    return Proposal(found.model_copy(update={"version": version}), "proven better", 1_000, worth=1e5)


def kept(store: TableStore) -> set[str]:
    return {one.table.version for one in store.versions(base_of(table()))}


def test_what_is_found_during_a_trial_is_not_kept(store: TableStore) -> None:
    known = tables(store)
    known.put_on_trial(named(flat(1, table()), "learned-1"), 0.1, ME)
    with pytest.raises(TableRefused, match="on trial"):
        known.put_on_trial(named(flat(3, table()), "learned-2"), 0.1, ME)
    assert kept(store) == {"learned-1"}
    known.roll_back(ME)
    assert known.put_on_trial(named(flat(1, table()), "learned-2"), 0.1, ME).canary == "learned-2"


def test_of_many_who_find_a_table_at_once_one_keeps_it(store: TableStore, server: str) -> None:
    done: list[str] = []
    together = threading.Barrier(6)

    def find(number: int) -> None:
        with closing(TableStore(server)) as own:
            together.wait(60)
            try:
                found = named(flat(1, table()), f"found-{number}")
                done.append(str(tables(own).put_on_trial(found, 0.1, ME).canary))
            except TableRefused:
                pass

    threads = [threading.Thread(target=find, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 1
    assert kept(store) == {*done}


def write(server: str, count: int, trial: int | None, canary_fails: bool) -> None:
    """Outcomes of `count` decisions, every fifth of the canary's."""
    opened = Store(server)
    entries: list[Tracked | Chosen] = []
    for number in range(count):
        mine = number % 5 == 0
        name, error = f"dec_{trial}_{number:05}", "lanes_failed" if mine and canary_fails else None
        row = replace(ROW, decision_id=name, at=NOW + number, error=error, cost=100)
        lot = "canary" if mine and trial else "current"
        choice = replace(
            CHOICE, decision_id=name, at=NOW + number, lot=lot, trial=trial, apart=trial is not None
        )
        entries += [Tracked(row, (Step(0, "local-general", "ok", 20),)), choice]
    opened.write(entries)
    opened.write(entries)  # written twice, counted once
    opened.close()


def test_a_trial_that_fails_ends_by_itself_and_says_why(store: TableStore, server: str) -> None:
    known = tables(store, flat(1, table()))
    trial = known.attempt("tier-1", 0.2, 1e5, ME)
    write(server, 10, trial.seq, canary_fails=True)
    first = known.settle(NOW)
    assert first is not None
    assert (first.state, first.failed, known.last().what) == ("going", 2, "canary")
    write(server, 600, trial.seq, canary_fails=True)
    verdict = known.settle(NOW + 1)
    assert verdict is not None
    assert (verdict.state, verdict.failed <= 200) == ("worse", True)
    last = known.last()
    assert (last.what, last.who, last.current, last.canary) == ("rolled_back", TRIAL, None, None)
    assert isinstance(last.evidence, dict)
    assert "verdict" in last.evidence
    assert known.settle(NOW + 2) is None


def test_a_trial_that_does_as_well_is_promoted(store: TableStore, server: str) -> None:
    known = tables(store, flat(1, table()))
    trial = known.attempt("tier-1", 0.2, 1e5, ME)
    write(server, 1_100, trial.seq, canary_fails=False)
    verdict = known.settle(NOW)
    assert verdict is not None
    assert verdict.state == "better"
    assert known.current() == flat(1, table())


def test_what_was_logged_is_read_as_columns(store: TableStore, server: str) -> None:
    write(server, 20, None, canary_fails=True)
    opened = Store(server)
    left = replace(ROW, decision_id="dec_left", error="left")
    opened.write([Tracked(left, ()), replace(CHOICE, decision_id="dec_left")])
    opened.close()
    log = store.log(0)
    assert len(log) == 20  # what came of the one that left nobody knows
    assert log.success[:, 0].sum() == 16
    assert log.cost[:, 0].sum() == 2_000
    assert log.chance[0].tolist() == [1.0, 0.0, 0.0]
    assert not log.seen[:, 1:].any()
    assert len(store.log(NOW + 10)) == 10
    found = tables(store).search(0, USUAL)
    assert found.table is None
    assert "too few" in found.why


RESULT = Result(
    id="dec_s", decision_id="dec_0", at=NOW, sweep="2026-W21", task=EASY, data_class="public", policy_version="0" * 64,
    from_lane="cloud", from_tier=2, to_lane="here", to_tier=1, verdict="valid", agreement=1.0, score=None, good=True,
    cost=7, judge_cost=90,
)  # fmt: skip


@pytest.mark.parametrize(
    ("result", "accepted", "won"),
    [
        ({}, None, 1.0),
        ({}, "lanes_failed", 0.0),  # to agree with a failure is no success
        ({"score": 0.9}, "lanes_failed", 1.0),
        ({"good": False, "score": 0.2}, None, 0.0),
        ({"good": False, "verdict": "invalid", "agreement": None}, None, 0.0),
        ({"good": None, "verdict": "timeout", "agreement": None}, None, None),
    ],
)
def test_a_result_of_a_sweep_is_an_outcome_of_the_tier_below(
    store: TableStore, server: str, result: dict[str, Any], accepted: str | None, won: float | None
) -> None:
    opened = Store(server)
    choice = replace(CHOICE, tier=2, p1=0.0, p2=1.0)
    row = replace(ROW, error=accepted)
    opened.write([Tracked(row, ()), choice, Sampled("dec_0", NOW, 3, 0.1, 0.0)])
    # Drawn, but nothing came of it; and one that nobody could have drawn.
    for name in ("dec_1", "dec_2"):
        opened.write(
            [Tracked(replace(row, decision_id=name), ()), replace(choice, decision_id=name, at=NOW + 1)]
        )
    opened.write([Sampled("dec_1", NOW, 3, 0.1, 0.0)])
    sweeps.put(opened.engine, replace(RESULT, **result))
    opened.close()
    log = store.log(0)
    if won is None:
        assert not log.seen[:, 0].any()
        return
    assert (log.seen[:, 0].tolist(), log.success[0, 0], log.cost[0, 0]) == ([True, False, False], won, 7)
    assert log.chance[:, 0].tolist() == [0.1, 0.1, 0.0]
    assert log.seen[:, 1].all()


def test_a_better_table_is_found_in_the_database(store: TableStore, server: str) -> None:
    log = logged(world(10_000, seed=21), flat(3, table()), explore=0.3, seed=22)
    opened = Store(server)
    entries: list[Tracked | Chosen] = []
    for number in range(len(log)):
        tier = int(log.seen[number].argmax())
        name = f"dec_{number:05}"
        error = None if log.success[number, tier] else "lanes_failed"
        cost = int(log.cost[number, tier])
        task = TASKS[int(log.task[number])]
        entries.append(Tracked(replace(ROW, decision_id=name, at=NOW + number, error=error, cost=cost), ()))
        p1, p2, p3 = (float(value) for value in log.chance[number])
        gain = float(log.gain[number])
        entries.append(
            replace(
                CHOICE,
                decision_id=name,
                at=NOW + number,
                task=task,
                gain=gain,
                tier=tier + 1,
                p1=p1,
                p2=p2,
                p3=p3,
            )
        )
    opened.write(entries)
    opened.close()
    found = Tables(store, flat(3, table())).search(0, USUAL)
    assert found.table is not None, found.why
    assert found.table.version == "learned-1"
    assert found.table.tasks[EASY].tier == 1
    for taken in ("learned-1", "learned-2"):  # by a person, or a trial that was refused
        store.keep(base_of(flat(3, table())), named(flat(2, table()), taken).table or table(), ME)
    order = Order(url=server, configured=flat(3, table()), share=0.2)
    seen = look(order, NOW + 20_000)  # as a Router does on schedule
    assert (seen.outcome, seen.version) == ("trial", "learned-3")
    last = Tables(store, flat(3, table())).last()
    assert (last.who, last.canary, last.share, last.worth) == (WHO, "learned-3", 0.2, found.worth)
    assert differences(found.table, flat(3, table()))
    assert len(proof(last.evidence)) == 3


CONFIG = """
lanes:
  - {name: here, kind: openai, model: m, base_url: "http://127.0.0.1:1/v1", location: device, tier: 1, context: 4096}
keys: {mode: open}
state: {url: "%s"}
policy:
  table: routing.yaml
  rules:
    - {name: by_task, tier: table, prefer: [here], because: the table says so}
"""


@pytest.fixture
def settings(store: TableStore, server: str, tmp_path: Path) -> Path:
    (tmp_path / "routing.yaml").write_text(table().model_dump_json(), "utf-8")
    (tmp_path / "mine.yaml").write_text(flat(1, table()).model_dump_json(), "utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG % server, "utf-8")
    return path


def run(settings: Path, *words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["tables", *words, "--config", str(settings)], env={"COLUMNS": "200"})
    return found.exit_code, found.output


def test_the_commands_from_first_to_last(settings: Path, server: str, tmp_path: Path) -> None:
    assert "Nothing was ever changed" in run(settings, "list")[1]
    mine = str(tmp_path / "mine.yaml")
    code, text = run(settings, "promote", mine, "--why", "to see", "--canary", "0.2")
    assert (code, "tier-1 on trial with 20%" in text) == (0, True)
    code, text = run(settings, "promote", mine, "--why", "again", "--canary", "0.2")
    assert (code, "on trial" in text) == (1, True)
    assert run(settings, "promote", "tier-1", "--why", "it is good")[0] == 0
    code, text = run(settings, "list")
    assert "tier-1 decides." in text
    assert "it is good" in text
    code, text = run(settings, "show", "tier-1")
    assert "to see" in text
    assert "tier 2, threshold never" in text
    assert '"current": "tier-1"' in run(settings, "list", "--json")[1]
    with closing(TableStore(server)) as kept:
        runs.claim(kept.engine, base_of(table()), "2026-W47", "a", NOW)
        runs.end(kept.engine, base_of(table()), "2026-W47", "a", NOW, "nothing", "too few", None)
    assert "Last looked on schedule 2026-05-28 20:26: too few." in run(settings, "list")[1]
    assert '"outcome": "nothing"' in run(settings, "list", "--json")[1]
    assert run(settings, "rollback", "--why", "enough")[0] == 0
    assert "made-up decides." in run(settings, "list")[1]
    code, text = run(settings, "learn")
    assert (code, "too few" in text) == (0, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "none"), "no table called none"),
        (("promote", "none", "--why", "x"), "no table called none"),
        (("promote", "gone.yaml", "--why", "x"), "gone.yaml"),
        (("rollback", "--why", "x"), "nothing to roll back"),
        (("learn", "--since", "yesterday"), "--since must be"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(settings: Path, words: tuple[str, ...], told: str) -> None:
    code, text = run(settings, *words)
    assert (code, told in text) == (1, True)


def test_a_configuration_without_a_table_says_so(settings: Path) -> None:
    text = settings.read_text("utf-8").replace("  table: routing.yaml\n", "").replace("tier: table, ", "")
    settings.write_text(text, "utf-8")
    code, told = run(settings, "list")
    assert (code, "has no routing table" in told) == (1, True)
