"""Outcomes by themselves: the tables on SQLite and PostgreSQL, what a success costs, repeated prompts, the report."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from serve import state
from serve.config import Config
from serve.ledger.entries import Record
from serve.ledger.store import Store as LedgerStore
from serve.ledger.tables import ATTEMPTS
from serve.outcomes import queries, report, show, span, told
from serve.outcomes.config import OutcomesConfig
from serve.outcomes.cpst import Sums, cpst
from serve.outcomes.repeats import Repeats
from serve.outcomes.row import Repeated, Row, Step, Tracked
from serve.outcomes.said import Said, Taken
from serve.outcomes.store import DAY_MS, Store
from serve.outcomes.tables import DECISIONS, FEEDBACK, SCOUT, STEPS, TABLES
from serve.outcomes.writer import OutcomesDown, Writer
from serve.sweeps import store as sweeps
from serve.sweeps.result import Result
from serve.sweeps.tables import RESULTS
from serve.sweeps.tables import TABLES as SWEEPS
from tests.support.databases import KINDS, database
from tests.support.memory import memory_folder
from tests.support.serving import config
from tests.support.spending import reservation, settled

NOW = 1_780_000_000_000
WITHIN_S = 60.0
ROW = Row(
    decision_id="dec_0", at=NOW, key="ann", team=None, session=None, data_class="public", task="analysis", tier=1,
    location="device", lane="local-general", policy_version="0" * 64, reason="local_first", difficulty="standard",
    judge="pre-scout", constraint_count=0, input_tokens=10, output_tokens=5, cost=0, billed=0, baseline=100,
    latency_ms=20, first_ms=10, overhead_ms=1.5, attempts=1, fallbacks=0, escalations=0, spilled=False,
    verdict="valid", error=None, stream=False, reviewed=False,
)  # fmt: skip
WORD = Said("dec_0", NOW, True, 0.9, "good_fit", "sdk", 0.0, "ann", False)


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


def tracked(number: int, **changes: Any) -> Tracked:
    steps = changes.pop("steps", (Step(0, "local-general", "ok", 20),))
    scout_ms = changes.pop("scout_ms", None)
    return Tracked(replace(ROW, decision_id=f"dec_{number}", **changes), steps, scout_ms)


def reading(store: Store) -> Connection:
    return store.engine.connect().execution_options(**state.READ_ONLY)


def settings(**changes: Any) -> Config:
    return config("http://127.0.0.1:1", "http://127.0.0.1:1", **changes)


# --- tables ----------------------------------------------------------------------------------------------------


def test_a_decision_that_is_written_twice_counts_once(store: Store) -> None:
    store.write([tracked(1), tracked(1, cost=7)])
    store.write([tracked(1, cost=9), Repeated("dec_1"), Repeated("dec_unknown")])
    with reading(store) as connection:
        (row,) = connection.execute(select(DECISIONS)).all()
        assert len(connection.execute(select(STEPS)).all()) == 1
    assert (row.cost, row.retried) == (0, True)


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ({}, {}, Taken.REPLACED),
        ({}, {"key": "bob"}, Taken.UNKNOWN),
        ({}, {"key": "eve", "reviewer": True}, Taken.REPLACED),
        ({"key": "eve", "reviewer": True}, {}, Taken.SETTLED),
        ({"key": "eve", "reviewer": True}, {"key": "zoe", "reviewer": True}, Taken.REPLACED),
    ],
)
def test_who_may_say_something_else(
    store: Store, first: dict[str, Any], second: dict[str, Any], taken: Taken
) -> None:
    store.write([tracked(0)])
    assert store.say(replace(WORD, **first)) is Taken.NEW
    assert store.say(replace(WORD, success=False, **second)) is taken
    with reading(store) as connection:
        (row,) = connection.execute(select(FEEDBACK)).all()
    assert row.success is (taken is not Taken.REPLACED)


def test_nobody_speaks_of_a_decision_that_is_not_there(store: Store) -> None:
    assert store.say(replace(WORD, reviewer=True)) is Taken.UNKNOWN


def test_what_is_old_goes_and_the_rest_stays(store: Store) -> None:
    store.write(
        [tracked(0, at=NOW - 8 * DAY_MS, scout_ms=1.0), tracked(1, at=NOW - 6 * DAY_MS, scout_ms=1.0)]
    )
    store.say(WORD)
    store.say(replace(WORD, decision_id="dec_1"))
    store.prune(NOW, 7)
    with reading(store) as connection:
        for table in (DECISIONS, STEPS, SCOUT, FEEDBACK):
            assert [row.decision_id for row in connection.execute(select(table))] == ["dec_1"]


def test_a_sweep_by_a_jumped_clock_deletes_none_and_old_ones_go_with_the_decisions(store: Store) -> None:
    sweeps.prepare(store.engine)
    for number, at in enumerate((NOW, NOW + 3650 * DAY_MS)):
        sweeps.put(store.engine, swept(number, at))
    try:
        assert kept_sweeps(store) == ["0", "1"]
        store.prune(NOW + 8 * DAY_MS, 7)
        assert kept_sweeps(store) == ["1"]
    finally:
        SWEEPS.drop_all(store.engine)


def swept(number: int, at: int) -> Result:
    return Result(
        id=str(number), decision_id="dec_0", at=at, sweep="2026-W47", task="analysis", data_class="public",
        policy_version="0" * 64, from_lane="cloud-openai", from_tier=2, to_lane="local-general", to_tier=1,
        verdict="valid", agreement=1.0, score=None, good=True, cost=0, judge_cost=0,
    )  # fmt: skip


def kept_sweeps(store: Store) -> list[str]:
    with reading(store) as connection:
        return [row.id for row in connection.execute(select(RESULTS).order_by(RESULTS.c.id))]


def test_the_ledger_forgets_old_attempts_too(server: str) -> None:
    ledger = LedgerStore(server)
    engine = state.open_database(server, durable=False)
    try:
        spent = settled(reservation(1), 1).spent
        assert spent is not None
        entries = [Record(replace(spent, id=f"a{days}", at=NOW - days * DAY_MS)) for days in (8, 6)]
        ledger.write(entries, NOW)
        ledger.prune(NOW)
        ledger.prune(NOW, 7)
        with engine.connect().execution_options(**state.READ_ONLY) as connection:
            assert [row.id for row in connection.execute(select(ATTEMPTS))] == ["a6"]
    finally:
        ledger.close()
        engine.dispose()


# --- the writer ------------------------------------------------------------------------------------------------


def decisions(url: str) -> list[str]:
    engine = state.open_database(url, durable=False)
    try:
        with engine.connect().execution_options(**state.READ_ONLY) as connection:
            return [row.decision_id for row in connection.execute(select(DECISIONS))]
    finally:
        engine.dispose()


def test_a_clock_that_jumps_deletes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    jumped = threading.Event()
    writer = Writer(url, OutcomesConfig(), lambda: (NOW / 1000) + 10 * 365 * 86_400 * jumped.is_set())
    jumped.set()
    writer.submit(tracked(0))
    writer.ask(lambda _: None).result(WITHIN_S)
    writer.close(WITHIN_S)
    assert decisions(url) == ["dec_0"]


def test_what_waits_for_a_database_that_is_away_is_bounded_and_what_is_lost_is_counted(
    tmp_path: Path,
) -> None:
    (tmp_path / "state.db").mkdir()
    url = f"sqlite:///{tmp_path}/state.db"
    writer = Writer(url, OutcomesConfig(max_queued=100))
    with pytest.raises(OutcomesDown):
        writer.ask(lambda _: None).result(WITHIN_S)
    for number in range(150):
        writer.submit(tracked(number))
    assert (writer.state, writer.lost) == ("down", 50)
    (tmp_path / "state.db").rmdir()
    _until(lambda: writer.state == "up")
    writer.ask(lambda _: None).result(WITHIN_S)
    writer.close(WITHIN_S)
    assert len(decisions(url)) == 100


def test_a_row_that_cannot_be_written_holds_up_no_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    writer = Writer(url, OutcomesConfig())
    writer.submit(tracked(0, cost=1 << 80))
    writer.ask(lambda _: None).result(WITHIN_S)
    writer.submit(tracked(1))
    writer.ask(lambda _: None).result(WITHIN_S)
    writer.close(WITHIN_S)
    assert (decisions(url), writer.lost) == (["dec_1"], 1)


def _until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1200):
        if true():
            return
        pause.wait(0.05)
    pytest.fail("waited 60 s in vain")


# --- repeated prompts ------------------------------------------------------------------------------------------


def test_the_same_prompt_of_the_same_caller_soon_after_is_a_repeat() -> None:
    now = [0.0]
    repeats = Repeats(60, lambda: now[0])
    assert repeats.of("ann", "words", "dec_1") is None
    assert repeats.of("bob", "words", "dec_2") is None
    assert repeats.of("ann", "others \ud800", "dec_3") is None
    now[0] = 60
    assert repeats.of("ann", "words", "dec_4") == "dec_1"
    now[0] = 121
    assert repeats.of("ann", "words", "dec_5") is None
    assert Repeats(0).of("ann", "words", "dec_1") is None


# --- cost per success ------------------------------------------------------------------------------------------


def _sums(pairs: list[tuple[float, int]]) -> Sums:
    return Sums(
        len(pairs),
        sum(s for _, s in pairs),
        sum(x for x, _ in pairs),
        sum(x * x for x, _ in pairs),
        sum(x * s for x, s in pairs),
    )


def test_the_interval_agrees_with_a_bootstrap() -> None:
    chance = random.Random(7)
    pairs = [(chance.expovariate(1 / 900), int(chance.random() < 0.7)) for _ in range(400)]
    found = cpst(_sums(pairs))
    means = sorted(
        sum(x for x, _ in drawn) / sum(s for _, s in drawn) / 1e6
        for drawn in (chance.choices(pairs, k=len(pairs)) for _ in range(600))
    )
    assert found.usd is not None
    assert found.low == pytest.approx(means[15], rel=0.03)
    assert found.high == pytest.approx(means[-15], rel=0.03)


def test_a_free_answer_that_fails_is_not_free() -> None:
    assert cpst(_sums([(0, 0)] * 9)).usd is None
    assert cpst(_sums([(0, 1)] * 9)).usd == 0
    assert cpst(_sums([(1e6, 0), (0, 1)])).usd == 1
    assert cpst(_sums([(1e6, 0), (0, 1)])).low is None


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("24h", 86_400), ("7d", 604_800)])
def test_spans(text: str, seconds: int) -> None:
    assert span.seconds(text) == seconds


# --- the report ------------------------------------------------------------------------------------------------


def traffic() -> list[Tracked]:
    """60 local analyses, one in three escalated; 40 cloud translations; an error, and a client that left."""
    cloud = {"lane": "cloud-openai", "location": "global", "tier": 2, "cost": 1000, "billed": 1000}
    rejected = (Step(0, "local-general", "invalid", 5), Step(1, "cloud-openai", "ok", 5))
    found = [tracked(n, at=NOW - n * 1000, baseline=1000, session="s1") for n in range(40)]
    found += [
        tracked(n, at=NOW - n * 1000, baseline=1000, escalations=1, steps=rejected, **cloud)
        for n in range(40, 60)
    ]
    found += [
        tracked(n, at=NOW - n * 1000, baseline=1000, task="translation", key="bob", **cloud)
        for n in range(60, 120)
    ]
    nobody: dict[str, Any] = {"lane": None, "location": None, "tier": None, "verdict": None}
    found.append(tracked(120, at=NOW - 1, error="lanes_failed", **nobody))
    found.append(tracked(121, at=NOW - 1, error="left", **nobody))
    return found


def test_the_report_counts_what_happened(store: Store) -> None:
    store.write(traffic())
    store.say(replace(WORD, success=False, label="failed", correction_minutes=3.0))
    priced = settings(outcomes={"correction_usd_per_hour": 20})
    found = report.read(store.engine, priced, 3600, NOW / 1000)
    total = found.total
    assert total is not None
    assert (total.decisions, total.local, total.cloud, total.complaints) == (122, 40, 80, 1)
    assert (total.successes, total.failures, total.unknown) == (119, 2, 1)
    assert (total.billed_usd, total.correction_usd) == (0.08, 1.0)
    assert total.cpst.usd == pytest.approx(1.08 / 119)
    assert found.local_share == found.tier1_share == pytest.approx(40 / 120)
    assert found.saved_share == pytest.approx(1 - 0.08 / 0.1202)
    assert {one.task: one.advice for one in found.advice} == {
        "analysis": "promote",
        "translation": "consider demoting",
    }
    assert {group.name: group.decisions for group in found.by_key} == {"ann": 62, "bob": 60}
    assert [(group.name, group.local) for group in found.by_session] == [("s1", 40)]
    assert {group.name for group in found.by_tier} == {"1", "2", "none"}
    assert [(one.lane, one.count) for one in found.rejected] == [("local-general", 20)]
    assert found.labels == {"failed": 1}
    assert (found.local_p95_ms, found.overhead_p50_ms) == (20, 1.5)
    json.dumps(report.document(found), allow_nan=False)


def test_targets_that_are_missed_are_alerts_from_fifty_decisions_on(store: Store) -> None:
    store.write(traffic())
    found = report.read(store.engine, settings(), 3600, NOW / 1000)
    assert [alert.split(",")[0] for alert in found.alerts] == [
        "Tier 1 gave 33% of the answers",
        "Providers billed 33% less than always-cloud",
    ]
    dear = [tracked(n, at=NOW + n, billed=9000, baseline=1000) for n in range(200, 400)]
    store.write(dear)
    found = report.read(store.engine, settings(), 3600, NOW / 1000)
    assert [alert for alert in found.alerts if "more than always-cloud" in alert]
    assert not [alert for alert in found.alerts if "Tier 1" in alert]
    few = report.read(store.engine, settings(), 3600, NOW / 1000 + 7200)
    assert (few.total, few.alerts) == (None, [])


def test_every_group_has_its_interval_on_every_page(store: Store) -> None:
    """By task type, tier, lane, key and session."""
    store.write([tracked(n, at=NOW - n, session="s1", cost=100 + n) for n in range(60)])
    found = report.read(store.engine, settings(), 3600, NOW / 1000)
    groups = (found.by_task, found.by_tier, found.by_lane, found.by_key, found.by_session)
    assert {(one.cpst.low or 0) < (one.cpst.usd or 0) < (one.cpst.high or 0) for (one,) in groups} == {True}
    for form in show.FORMATS:
        text = show.written(told.page(found), form)
        assert form == "json" or text.count("0.000125 to 0.000134") == 7, form


def test_one_look_at_every_row_counts_what_many_looks_count(store: Store) -> None:
    store.write(traffic())
    store.say(replace(WORD, success=False, label="failed", correction_minutes=3.0))
    since = NOW - 3_600_000
    with reading(store) as connection:
        found = queries.groups_by_each(connection, since, report.DIMENSIONS, 1e6)
        for name, column in report.DIMENSIONS.items():
            named = sorted((one for one in found[name] if one.name != queries.NOBODY), key=_name)
            assert named == sorted(queries.busiest(connection, since, column, 1e6), key=_name)
            assert sum(one.cost_usd for one in found[name]) == pytest.approx(found[queries.TOTAL][0].cost_usd)
        assert queries.groups_by_each(connection, NOW + 1, report.DIMENSIONS, 1e6)[queries.TOTAL] == []
        assert queries.busiest(connection, NOW + 1, DECISIONS.c.task, 1e6) == []


def _name(group: queries.Group) -> str:
    return group.name


def test_a_clock_that_was_an_hour_ahead_loses_no_decision_and_counts_none_twice(store: Store) -> None:
    """It is set right, so some rows are of the future; later, when that is the past, they are still there once."""
    store.write([tracked(n, at=NOW + 3_600_000 - n, cost=100) for n in range(60)])
    store.write([tracked(n, at=NOW + n, cost=100) for n in range(30, 120)])
    for since_s, now in ((600, NOW), (7200, NOW + 3_700_000)):
        found = report.read(store.engine, settings(), since_s, now / 1000)
        assert found.total is not None
        assert (found.total.decisions, found.total.cost_usd) == (120, 0.012)


def test_a_shift_of_the_traffic_is_an_alert(store: Store) -> None:
    store.write([tracked(n, at=NOW - n * 10_000) for n in range(150)])
    store.write([tracked(n, at=NOW - n * 10_000, task="translation", verdict="invalid", error="lanes_failed")
                 for n in range(150, 360)])  # fmt: skip
    found = report.read(store.engine, settings(), 3600, NOW / 1000)
    assert found.validation.words == "falling"
    assert len(found.alerts) == 1
    assert "shifted" in found.alerts[0]


def test_the_scout_is_held_against_its_limit_where_it_was_asked(store: Store) -> None:
    asked = [tracked(n, at=NOW - n, scout_ms=81.0 if n < 10 else 20.0 + n) for n in range(60)]
    store.write([*asked, *(tracked(n, at=NOW - n) for n in range(60, 90))])
    store.write([tracked(99, at=NOW - 7_200_000, scout_ms=5000.0)])
    found = report.read(store.engine, settings(), 3600, NOW / 1000)
    assert (found.scout.asked, found.scout.p50_ms, found.scout.p95_ms) == (60, 60, 81)
    assert found.scout.late == pytest.approx(10 / 60)
    assert [alert for alert in found.alerts if alert.startswith("The Scout is late: 17%")]
    for form in show.FORMATS:
        text = show.written(told.page(found), form)
        assert "81.0" in text, form
        assert "16.7%" in text or form == "json", form


def test_a_scout_that_nobody_asked_is_no_alert_and_no_number(store: Store) -> None:
    store.write([tracked(0)])
    SCOUT.drop(store.engine)  # as an older version left the database
    found = report.read(store.engine, settings(), 3600, NOW / 1000)
    assert (found.scout.asked, found.scout.late, found.alerts) == (0, None, [])


def test_a_database_without_decisions_makes_an_empty_report(tmp_path: Path) -> None:
    empty = settings(state={"url": f"sqlite:///{tmp_path}/state.db"})
    found = report.open_and_read(empty, 3600, NOW / 1000)
    assert found.total is None
    for form in show.FORMATS:
        assert "report" in show.written(told.page(found), form).lower() or form == "json"


def test_a_name_that_is_no_plain_word_breaks_no_page() -> None:
    page = show.Page("t", "", (show.Section("s", ("a", "b"), [("<script>|x\ny", "1")]),), {})
    assert "<script>" not in show.written(page, "html")
    assert "| &lt;script&gt;\\|x y | 1 |" in show.written(page, "markdown")
