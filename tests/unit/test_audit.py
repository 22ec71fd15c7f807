"""The audit log by itself, on SQLite and on PostgreSQL: chains, verification, failure, retention, erasure."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, text, update

from serve import state
from serve.audit import erasure, pseudonyms, retention, rows, verify
from serve.audit.chain import Chain
from serve.audit.config import AuditConfig
from serve.audit.prove import prove
from serve.audit.records import Draft, Intent, Outcome, Place, Refused, Tried, stamp
from serve.audit.store import Store
from serve.audit.tables import HEADS, RECORDS, TABLES
from serve.audit.verify import Fault, Report
from serve.audit.writer import Writer
from tests.support.databases import KINDS, database
from tests.support.memory import memory_folder

WITHIN_S = 60.0
PATIENT = AuditConfig(write_timeout_s=60)
LONG_AGO = "2000-01-01T00:00:00.000000Z"


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with memory_folder() as folder, database(request.param, folder) as url:
        yield url


@pytest.fixture
def url(server: str) -> Iterator[str]:
    yield server
    engine = state.open_database(server)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS audit_away"))
    TABLES.drop_all(engine)
    engine.dispose()


def intent(number: int, data_class: str = "confidential", at: str | None = None, key: str = "k1") -> Draft:
    sheet = Intent(
        data_class=data_class,
        rules=["identifiers:us_ssn"],
        lanes=[Place(lane="local", location="device")],
        off_premises=False,
        reasons=["local_first"],
        policy_version="0" * 64,
        input_tokens=12,
    )
    draft = Draft.of(sheet, f"dec_{number}", key)
    return draft if at is None else Draft(draft.kind, draft.decision, draft.fields, draft.key, at)


def refusal(number: int, data_class: str = "confidential", status: str = "egress_denied") -> Draft:
    sheet = Refused(
        data_class=data_class,
        rules=["identifiers:us_ssn"],
        status=status,
        policy_version="0" * 64,
        input_tokens=12,
    )
    return Draft.of(sheet, f"dec_{number}", "k1")


def outcome(number: int, **changes: Any) -> Draft:
    values: dict[str, Any] = {
        "status": "ok",
        "cloud_egress": False,
        "tried": [Tried(lane="local", location="device", outcome="ok", ms=3)],
        "answered": None,
        "reasons": ["local_first"],
        "fallbacks": [],
        "escalations": [],
        "tokens_in": 12,
        "tokens_out": 3,
        "cost_microusd": None,
        "latency_ms": 5,
        "review": None,
    }
    return Draft.of(Outcome.model_validate(values | changes), f"dec_{number}")


def written(url: str, *drafts: Draft) -> str:
    """Put records into a chain of their own; its id."""
    store = Store(url)
    for draft in drafts:
        store.append([draft])
    store.close()
    with rows.reading(url) as connection:
        assert connection is not None
        found = connection.execute(select(RECORDS.c.chain, RECORDS.c.at)).all()
    return str(found[-1].chain) if len({row.chain for row in found}) == 1 else ""


def report_of(url: str, known: verify.Heads | None = None) -> Report:
    with rows.reading(url) as connection:
        return verify.log(connection, known)


@contextmanager
def changing(url: str) -> Iterator[Connection]:
    engine = state.open_database(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@contextmanager
def writer(url: str, settings: AuditConfig = PATIENT) -> Iterator[Writer]:
    made = Writer(url, settings)
    try:
        yield made
    finally:
        made.close(WITHIN_S)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_log_that_nobody_touched_is_whole(url: str) -> None:
    written(url, *(draft for n in range(5) for draft in (intent(n), outcome(n))))
    report = report_of(url)
    assert (report.is_good, report.records, report.unfinished) == (True, 11, 0)


def test_no_log_at_all_is_whole_and_empty(url: str) -> None:
    assert (report_of(url).is_good, report_of(url).records) == (True, 0)


def test_an_intent_without_an_outcome_is_told_and_is_no_fault(url: str) -> None:
    """A2: a crash leaves the last intent alone."""
    written(url, intent(1), outcome(1), intent(2))
    assert (report_of(url).is_good, report_of(url).unfinished) == (True, 1)


def flip(connection: Connection, chain: str, seq: int) -> None:
    mine = (RECORDS.c.chain == chain) & (RECORDS.c.seq == seq)
    body = connection.execute(select(RECORDS.c.body).where(mine)).scalar_one()
    place = body.index('"kind"') - 3
    flipped = body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1 :]
    connection.execute(update(RECORDS).where(mine).values(body=flipped))


def rewrite(connection: Connection, chain: str, seq: int) -> None:
    """What a careful forger does: the record stays JSON and agrees with its columns."""
    mine = (RECORDS.c.chain == chain) & (RECORDS.c.seq == seq)
    body = connection.execute(select(RECORDS.c.body).where(mine)).scalar_one()
    forged = json.loads(body) | {"status": "left"}
    text_ = json.dumps(forged, sort_keys=True, separators=(",", ":"))
    connection.execute(update(RECORDS).where(mine).values(body=text_))


def forge_hash(connection: Connection, chain: str, seq: int) -> None:
    mine = (RECORDS.c.chain == chain) & (RECORDS.c.seq == seq)
    connection.execute(update(RECORDS).where(mine).values(hash="f" * 64))


def date_back(connection: Connection, chain: str, seq: int) -> None:
    mine = (RECORDS.c.chain == chain) & (RECORDS.c.seq == seq)
    connection.execute(update(RECORDS).where(mine).values(at=LONG_AGO))


def remove(connection: Connection, chain: str, seq: int) -> None:
    connection.execute(delete(RECORDS).where(RECORDS.c.chain == chain, RECORDS.c.seq == seq))


def swap(connection: Connection, chain: str, seq: int) -> None:
    """The record changes places with the one behind it."""
    for old, new in ((seq, 1_000), (seq + 1, seq), (1_000, seq + 1)):
        mine = (RECORDS.c.chain == chain) & (RECORDS.c.seq == old)
        connection.execute(update(RECORDS).where(mine).values(seq=new))


@pytest.mark.parametrize("seq", [1, 5, 8])
@pytest.mark.parametrize("change", [flip, rewrite, forge_hash, date_back, remove, swap])
def test_verify_names_the_first_bad_record(
    url: str, change: Callable[[Connection, str, int], None], seq: int
) -> None:
    """A2: a flipped byte, a forged field, hash or date, a removed row, swapped rows."""
    chain = written(url, *(draft for n in range(4) for draft in (intent(n), outcome(n))))
    with changing(url) as connection:
        change(connection, chain, seq)
    report = report_of(url)
    assert [(fault.chain, fault.seq) for fault in report.faults] == [(chain, seq)], report.faults


def test_a_tail_that_was_cut_off_is_noticed(url: str) -> None:
    chain = written(url, intent(1), outcome(1), intent(2), outcome(2))
    with changing(url) as connection:
        connection.execute(delete(RECORDS).where(RECORDS.c.chain == chain, RECORDS.c.seq >= 4))
    assert report_of(url).faults == [Fault(chain, 4, "is missing at the end")]


def test_whoever_kept_the_heads_notices_even_a_tail_cut_with_its_head(url: str) -> None:
    chain = written(url, intent(1), outcome(1), intent(2), outcome(2))
    known = report_of(url).heads
    assert report_of(url, known).is_good
    with changing(url) as connection:
        connection.execute(delete(RECORDS).where(RECORDS.c.chain == chain, RECORDS.c.seq == 5))
        last = connection.execute(select(RECORDS.c.hash).where(RECORDS.c.seq == 4)).scalar_one()
        connection.execute(update(HEADS).values(seq=4, hash=last))
    assert report_of(url).is_good
    assert [fault.seq for fault in report_of(url, known).faults] == [5]


def test_a_chain_that_vanished_as_a_whole_is_noticed_by_its_kept_head(url: str) -> None:
    written(url, intent(1))
    known = report_of(url).heads
    with changing(url) as connection:
        connection.execute(delete(RECORDS))
        connection.execute(delete(HEADS))
    assert report_of(url).is_good
    assert not report_of(url, known).is_good


def test_what_waits_for_its_record_goes_on_once_others_can_read_it(url: str) -> None:
    async def go(made: Writer) -> None:
        for number in range(20):
            assert await made.write(intent(number)).fault() is None
            with changing(url) as connection:
                found = select(RECORDS.c.seq).where(RECORDS.c.decision == f"dec_{number}")
                assert connection.execute(found).scalar_one() == number + 2

    with writer(url) as made:
        asyncio.run(go(made))


def test_two_writers_leave_no_orphans(url: str) -> None:
    """A5: one decision, one intent, one outcome, with two writers at once."""
    count = 500

    async def go(made: Writer, first: int) -> None:
        async def one(number: int) -> None:
            assert await made.write(intent(number)).fault() is None
            made.submit(outcome(number))

        for start in range(first, first + count, 50):
            await asyncio.gather(*(one(number) for number in range(start, start + 50)))

    with writer(url) as one, writer(url) as other:
        threads = [threading.Thread(target=lambda w=w, n=n: asyncio.run(go(w, n))) for n, w in
                   ((0, one), (count, other))]  # fmt: skip
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN_S)
    report = report_of(url)
    assert (report.faults, report.unfinished, len(report.heads)) == ([], 0, 2)
    with rows.reading(url) as connection:
        assert connection is not None
        for kind in ("intent", "outcome"):
            found = [row.columns["decision"] for row in rows.of_kind(connection, kind)]
            assert len(found) == len(set(found)) == 2 * count


def test_a_log_that_cannot_be_written_says_so_at_once_and_comes_back_by_itself(url: str) -> None:
    """A3: and what was noted meanwhile is written then."""

    async def go(made: Writer) -> None:
        assert await made.write(intent(1)).fault() is None
        with changing(url) as connection:
            connection.execute(text("ALTER TABLE audit_records RENAME TO audit_away"))
            connection.execute(text("CREATE VIEW audit_records AS SELECT 1 AS one"))
        assert await made.write(intent(2)).fault() is not None
        assert made.fault is not None
        made.submit(outcome(1))
        with changing(url) as connection:
            connection.execute(text("DROP VIEW audit_records"))
            connection.execute(text("ALTER TABLE audit_away RENAME TO audit_records"))
        await asyncio.to_thread(until, lambda: made.fault is None)
        assert await made.write(intent(3)).fault() is None

    with writer(url) as made:
        asyncio.run(go(made))
    report = report_of(url)
    assert (report.faults, len(report.heads)) == ([], 2)
    with rows.reading(url) as connection:
        assert connection is not None
        decisions = sorted(str(row.columns["decision"]) for row in rows.rows(connection))
    assert decisions == ["-", "-", "dec_1", "dec_1", "dec_2", "dec_3"]


def test_what_found_no_room_is_counted_in_the_log(url: str) -> None:
    with writer(url, AuditConfig(max_queued=100)) as made:
        until(lambda: made.began)
        with changing(url) as connection:  # a transaction of its own holds the writer up
            lock = "LOCK TABLE audit_heads" if "postgres" in url else "DELETE FROM audit_heads WHERE seq = -1"
            connection.execute(text(lock))
            for number in range(1_500):
                made.submit(intent(number))
            until(lambda: made.lost > 0)
            lost = made.lost
        until(lambda: prove_of(url).lost > 0)
    assert prove_of(url).lost == lost


def prove_of(url: str, data_class: str = "confidential", since: str = LONG_AGO) -> Any:
    with rows.reading(url) as connection:
        return prove(connection, since, data_class)


def test_the_proof_counts_what_was_asked_and_who_answered(url: str) -> None:
    written(url, intent(1), outcome(1), intent(2, "public"), outcome(2, cloud_egress=True), intent(3))
    proof = prove_of(url)
    assert (proof.holds, proof.requests, proof.left, proof.unfinished) == (True, 2, 0, 1)
    assert dict(proof.statuses) == {"ok": 1}
    assert (prove_of(url, "public").holds, prove_of(url, "public").left) == (False, 1)
    later = stamp(datetime.now(UTC) + timedelta(days=1))
    assert prove_of(url, since=later).requests == 0


def test_the_proof_does_not_hold_when_anything_left(url: str) -> None:
    written(url, intent(1), outcome(1, cloud_egress=True))
    assert not prove_of(url).holds


def test_the_proof_does_not_hold_when_a_crash_hides_what_left(url: str) -> None:
    sure = intent(1)
    written(url, Draft(sure.kind, sure.decision, {**sure.fields, "off_premises": True}, sure.key))
    assert (prove_of(url).holds, prove_of(url).unknown) == (False, 1)


def test_the_proof_does_not_hold_on_a_log_that_was_changed(url: str) -> None:
    chain = written(url, intent(1), outcome(1, cloud_egress=True))
    with changing(url) as connection:
        remove(connection, chain, 2)
    assert not prove_of(url).holds


def old(days: int) -> str:
    return stamp(datetime.now(UTC) - timedelta(days=days))


def test_retention_removes_the_oldest_and_the_rest_still_verifies(url: str) -> None:
    written(url, *(intent(n, at=old(200)) for n in range(4)), intent(8), intent(9))
    store = Store(url)
    assert store.retain(183) == 0, (
        "the first record of the chain is young, and nothing is taken from the middle"
    )
    store.close()
    with changing(url) as connection:
        connection.execute(delete(RECORDS))
        connection.execute(delete(HEADS))
    made = Store(url)
    made._chain._opening = intent(0, at=old(201))  # a chain that began so long ago
    for draft in (*(intent(n, at=old(200)) for n in range(1, 4)), intent(8), intent(9)):
        made.append([draft])
    known = report_of(url).heads
    assert (made.retain(183), made.retain(183)) == (4, 0)
    report = report_of(url, known)
    assert (report.faults, report.removed, report.records) == ([], 4, 3)
    made.append([intent(10)])
    made.close()
    assert report_of(url).is_good
    with changing(url) as connection:
        connection.execute(delete(RECORDS).where(RECORDS.c.decision == "dec_8"))
    assert [fault.what for fault in report_of(url).faults] == ["is missing"]


def test_a_prefix_that_retention_did_not_remove_is_missed(url: str) -> None:
    chain = written(url, intent(1), intent(2))
    with changing(url) as connection:
        connection.execute(delete(RECORDS).where(RECORDS.c.seq <= 2))
    assert [(fault.chain, fault.seq) for fault in report_of(url).faults] == [(chain, 1)]


def test_a_chain_of_which_nothing_is_left_may_go_on(url: str) -> None:
    idle, busy = Store(url), Store(url)
    idle._chain._opening = intent(0, at=old(300))
    idle.append([intent(1, at=old(299))])
    assert busy.retain(183) == 2
    assert report_of(url).is_good
    between = stamp(datetime.now(UTC))
    idle.append([intent(2)])
    report = report_of(url)
    assert (report.faults, report.removed) == ([], 2)
    # The checkpoint grows old itself while the chain that rests on it goes on: it is carried along.
    with changing(url) as connection:
        assert retention.step(connection, Chain(), between, 100) == 2
    report = report_of(url)
    assert (report.faults, len(report.heads)) == ([], 2)
    idle.close()
    busy.close()


def test_a_key_is_a_pseudonym_that_erasure_cuts_off(url: str) -> None:
    """A6: the id of a key is nowhere in a record, and after erasure nothing leads back to it."""
    key = "0123456789"
    written(url, intent(1, key=key), intent(2, key=key), intent(3, key="another"))
    with rows.reading(url) as connection:
        assert connection is not None
        records = [rows.record_of(row) for row in rows.of_kind(connection, "intent")]
        names = [record["key"] for record in records]
        assert names[0] == names[1] != names[2]
        assert key not in json.dumps(records)
    assert erasure.erase(url, key) == names[0]
    assert erasure.erase(url, key) is None
    with changing(url) as connection:
        again = pseudonyms.pseudonyms(connection, [key])
    assert again[key] not in names
    assert report_of(url).is_good


def test_an_erased_secret_is_in_no_file_of_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    written(url, intent(1, key="0123456789"))
    with changing(url) as connection:
        secret = str(connection.execute(text("SELECT secret FROM audit_keys")).scalar_one())
    found = [path for path in tmp_path.iterdir() if secret.encode() in path.read_bytes()]
    assert found
    erasure.erase(url, "0123456789")
    assert [path for path in tmp_path.iterdir() if secret.encode() in path.read_bytes()] == []
