"""Budgets hold: between requests, processes, periods, and when a process dies (rows B1, B2, B3, B6)."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text

from serve import state
from serve.ledger import desk as desk_module
from serve.ledger.desk import Desk, LedgerDown
from serve.ledger.entries import Account, Entry, Look, Reserve, Settle, Written, periods
from serve.ledger.store import EXPIRED_OUTCOME, KEEP_EXPIRED_MS, Store
from serve.ledger.tables import TABLES
from tests.support.databases import KINDS, database
from tests.support.nightly import cases
from tests.support.spending import Books, attempts, books, reservation, settled

ROOT = Path(__file__).parents[2]
DAY = Account("total", "2026-11-21", 1000)
MONTH = Account("total", "2026-11", 10_000)
NOON = 1_795_262_400.0  # 2026-11-21 12:00 UTC


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with database(request.param, tmp_path_factory.mktemp(request.param)) as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """A database without a ledger."""
    engine = state.open_database(server)
    TABLES.drop_all(engine)
    engine.dispose()
    return server


@pytest.fixture
def file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
async def desk(file: str) -> AsyncIterator[Desk]:
    desk = Desk(file)
    yield desk
    await asyncio.to_thread(desk.close)


def write(url: str, *entries: Entry, now: int = 0) -> dict[str, Account]:
    store = Store(url)
    try:
        return store.write(entries, now).refused
    finally:
        store.close()


def test_many_processes_never_admit_more_than_the_cap_holds(url: str) -> None:
    """B1: concurrent requests of several processes against a cap for 100 of them: exactly 100 are admitted."""
    processes, each = cases(4, 8), cases(100, 125)
    command = [sys.executable, "-m", "tests.support.spending", url, str(each), "7", "700"]
    with ExitStack() as stack:
        running = [
            stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
            for _ in range(processes)
        ]
        admitted = [int(process.communicate(timeout=300)[0]) for process in running]
    assert sum(admitted) == 100
    assert books(url) == Books(spent=700, reserved=0, open=0, attempts=700)


def test_threads_that_use_an_account_first_share_one(url: str) -> None:
    """B3: the first requests of a new key at the same moment cannot each get a budget of their own."""
    stores = [Store(url) for _ in range(6)]
    refused: list[dict[str, Account]] = []

    def first(store: Store) -> None:
        refused.append(store.write([reservation(400, DAY, MONTH)], 0).refused)

    threads = [threading.Thread(target=first, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert sum(not one for one in refused) == 2
    assert books(url).reserved == 800


def test_what_was_reserved_and_not_spent_is_free_again(url: str) -> None:
    first, second = reservation(900, DAY, MONTH), reservation(900, DAY, MONTH)
    assert write(url, first, second) == {second.id: DAY}
    assert books(url) == Books(spent=0, reserved=900, open=1, attempts=0)
    write(url, settled(first, 100))
    assert write(url, second) == {}
    write(url, Settle(second.id, None))
    assert books(url) == Books(spent=100, reserved=0, open=0, attempts=100)


def test_a_refused_reservation_holds_nothing_anywhere(url: str) -> None:
    """Room in the month is no room in the day, and what does not fit the day takes nothing from the month."""
    assert write(url, reservation(1001, MONTH, DAY))
    assert write(url, reservation(1000, MONTH, DAY)) == {}


def test_a_settlement_counts_once(url: str) -> None:
    entry = reservation(500, DAY)
    write(url, entry, settled(entry, 300), settled(entry, 300))
    write(url, settled(entry, 300))
    write(url, Settle("never-reserved", None))
    assert books(url) == Books(spent=300, reserved=0, open=0, attempts=300)


def test_what_costs_more_than_was_thought_is_counted_in_full(url: str) -> None:
    entry = reservation(500, DAY)
    write(url, entry, settled(entry, 5000))
    assert books(url).spent == 5000
    assert write(url, reservation(0, DAY))


def test_a_dead_process_has_spent_what_it_reserved(url: str) -> None:
    """B2: after the lease nothing is reserved, and the worst case is spent; who was only late may still correct it."""
    entry, later = reservation(500, DAY, clock=lambda: NOON), reservation(1, DAY, clock=lambda: NOON)
    write(url, entry, now=int(NOON * 1000))
    write(url, later, now=int(NOON * 1000) + 59_999)
    assert books(url).spent == 0
    write(url, Look((DAY,)), now=int(NOON * 1000) + 60_000)
    assert books(url) == Books(spent=501, reserved=0, open=0, attempts=501)
    assert {row.outcome for row in attempts(url)} == {EXPIRED_OUTCOME}
    write(url, settled(entry, 20), now=int(NOON * 1000) + 70_000)
    assert books(url) == Books(spent=21, reserved=0, open=0, attempts=21)


def test_expired_reservations_are_forgotten_after_a_week(file: str) -> None:
    entry = reservation(500, DAY, clock=lambda: NOON)
    write(file, entry, now=entry.expires_at - 1)
    store = Store(file)
    store.write([], entry.expires_at)
    store.prune(entry.expires_at + KEEP_EXPIRED_MS + 1)
    store.write([settled(entry, 0)], entry.expires_at)
    store.close()
    assert books(file) == Books(spent=500, reserved=0, open=0, attempts=500)


@pytest.mark.skipif(sys.platform == "win32", reason="kills processes")
def test_killed_processes_leave_no_reservation_and_no_unpaid_token(file: str) -> None:
    """B2: kill -9 between reserve and settle, again and again: after the lease all that was begun is counted."""
    code = (
        "import sys, time\nfrom serve.ledger.store import Store\nfrom serve.ledger.entries import Account\n"
        "from tests.support.spending import reservation\n"
        f"store = Store({file!r})\naccount = Account('total', '2026-11-21')\n"
        "while True:\n"
        "    store.write([reservation(10, account, lease_ms=1)], 0)\n"
        "    print('begun', flush=True)\n"
    )
    begun = 0
    for turn in range(cases(2, 200)):
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(3 + turn % 5):
                begun += child.stdout.readline() == "begun\n"
            child.kill()
            begun += child.communicate()[0].count("begun\n")
    while books(file).open:
        write(file, now=int(time.time() * 1000) + 1000)
    found = books(file)
    assert found.reserved == 0
    assert found.spent == found.attempts >= 10 * begun > 0


def test_a_day_that_ends_and_comes_back_goes_on_where_it_was(file: str) -> None:
    """B3: midnight gives a new budget once; a clock set back over it finds the old one as it was left."""

    def ask(now: float) -> bool:
        day, _ = periods(now)
        return not write(file, reservation(600, Account("key:ann", day, 1000)))

    before, after = NOON + 11.5 * 3600, NOON + 12.5 * 3600
    assert [ask(before), ask(before)] == [True, False]
    assert [ask(after), ask(after)] == [True, False]
    assert [ask(before), ask(after), ask(before)] == [False, False, False]


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_a_clock_that_steps_under_open_leases_loses_and_doubles_nothing(url: str, step_s: int) -> None:
    """B3: set forward it ends the leases of requests that live, at their worst; their own settlement corrects that.
    Set back it leaves them open for longer."""
    entries = [reservation(300, DAY, clock=lambda: NOON) for _ in range(3)]
    write(url, *entries, now=int(NOON * 1000))
    stepped = int((NOON + step_s) * 1000)
    write(url, Look((DAY,)), now=stepped)
    found = books(url)
    assert (found.spent + found.reserved, found.open) == (900, 0 if step_s > 0 else 3)
    write(url, *(settled(entry, 20) for entry in entries), now=stepped)
    assert books(url) == Books(spent=60, reserved=0, open=0, attempts=60)


async def test_what_comes_together_is_written_together(desk: Desk) -> None:
    entries = [reservation(10, DAY, MONTH) for _ in range(150)]
    answers = await asyncio.gather(*(desk.reserve(entry) for entry in entries))
    assert sum(answer is None for answer in answers) == 100
    assert {answer for answer in answers if answer is not None} == {DAY}


async def test_who_stops_waiting_holds_nothing(desk: Desk, file: str) -> None:
    """Whatever the moment: before the thread takes the entry, while it writes, or after."""
    for wait in range(40):
        entry = reservation(1000, DAY)
        task = asyncio.create_task(desk.reserve(entry))
        await asyncio.sleep(0.0005 * (wait % 8))
        task.cancel()
        (held,) = await asyncio.gather(task, return_exceptions=True)
        if held is None:
            desk.settle(Settle(entry.id, None))
    await asyncio.to_thread(desk.close)
    assert books(file) == Books(spent=0, reserved=0, open=0, attempts=0)


async def test_what_an_answer_gave_back_is_there_for_the_next_request(desk: Desk) -> None:
    first, second = reservation(1000, DAY), reservation(1000, DAY)
    assert await desk.reserve(first) is None
    await asyncio.to_thread(desk.close)
    desk._inbox.put(Settle(first.id, None))  # a busy thread finds both at once
    assert await desk.reserve(second) is None
    desk.settle(Settle(second.id, None))


async def test_what_nobody_waits_for_is_written_with_the_next_reservation(
    desk: Desk, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    write = Store.write

    def noted(store: Store, entries: Sequence[Entry], now: int, *, sweep: bool = True) -> Written:
        turns.append(len(entries))
        return write(store, entries, now, sweep=sweep)

    first, second = reservation(400, DAY), reservation(900, DAY)
    assert await desk.reserve(first) is None
    monkeypatch.setattr(desk_module, "LINGER_S", 3600.0)
    monkeypatch.setattr(Store, "write", noted)
    desk.settle(settled(first, 100))
    await asyncio.sleep(0.05)
    assert await desk.reserve(second) is None
    assert turns == [2]
    desk.settle(Settle(second.id, None))
    await asyncio.to_thread(desk.close)  # whoever ends it does not linger
    assert books(file) == Books(spent=100, reserved=0, open=0, attempts=100)


async def test_balances_are_seen_without_waiting(desk: Desk) -> None:
    assert desk.balances([DAY]) == {}
    await desk.reserve(reservation(300, DAY))
    assert desk.balances([DAY])[DAY.id].used == 300


async def test_a_ledger_that_is_away_refuses_and_says_why(tmp_path: Path) -> None:
    """B6: nothing is reserved while nothing can be written, and it goes on by itself afterwards."""
    blocked = tmp_path / "folder"
    blocked.write_text("a file where the folder should be")
    desk = Desk(f"sqlite:///{blocked / 'state.db'}")
    try:
        with pytest.raises(LedgerDown):
            await desk.reserve(reservation(1, DAY))
        assert (desk.state, bool(desk.fault)) == ("down", True)
        blocked.unlink()
        async with asyncio.timeout(60):
            while desk.state != "up":  # noqa: ASYNC110 - the desk tells nobody
                await asyncio.sleep(0.05)
        assert await desk.reserve(reservation(1, DAY)) is None
    finally:
        await asyncio.to_thread(desk.close)


def refused_at_once(desk: Desk) -> str:
    """What a reservation is told that never gives up the event loop."""
    asking = desk.reserve(reservation(1, DAY))
    with pytest.raises(LedgerDown) as refused:
        asking.send(None)
    return str(refused.value)


async def becomes(desk: Desk, wanted: str) -> None:
    async with asyncio.timeout(60):
        while desk.state != wanted:  # noqa: ASYNC110 - the desk tells nobody
            await asyncio.sleep(0.02)


async def test_a_database_that_holds_a_write_back_is_down_and_comes_back(
    server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver that waits raises nothing: nobody else may wait with it."""
    monkeypatch.setattr(desk_module, "PATIENCE_S", 0.2)
    desk, engine = Desk(server), state.open_database(server)
    try:
        desk.start()
        await becomes(desk, "up")
        with engine.begin() as connection:  # SQLite: the write lock of the whole file
            if engine.dialect.name == "postgresql":
                connection.execute(text("LOCK TABLE ledger_balances IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(LedgerDown):
                await desk.reserve(reservation(1, DAY))
            await becomes(desk, "down")
            assert (desk.fault, refused_at_once(desk), refused_at_once(desk)) == (desk_module.SILENT,) * 3
        await becomes(desk, "up")
        assert (desk.fault, await desk.reserve(reservation(1, DAY))) == (None, None)
    finally:
        await asyncio.to_thread(desk.close)
        engine.dispose()
    told = [record.getMessage() for record in caplog.records if record.name == "pointsman.ledger"]
    assert [desk_module.SILENT in line for line in told] == [True, False]


async def test_a_server_that_says_nothing_is_down_also_while_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between two attempts and during each of them: what is known to be away is not waited for."""
    monkeypatch.setattr(desk_module, "PATIENCE_S", 0.2)
    monkeypatch.setattr(desk_module, "RETRY_S", 0.1)
    with ExitStack() as open_, socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        desk = Desk(f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=2")
        desk.start()
        await becomes(desk, "down")
        for _ in range(3):
            open_.enter_context((await asyncio.get_running_loop().sock_accept(silent))[0])
            assert refused_at_once(desk)
    await asyncio.to_thread(desk.close)


async def test_a_clock_that_jumps_ahead_forgets_no_settlement(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it took for expired long ago is still at work, and is corrected when it ends."""
    monkeypatch.setattr(desk_module, "SWEEP_S", 0.0)
    monkeypatch.setattr(desk_module, "PRUNE_S", 0.0)
    ahead = 0.0
    desk = Desk(file, lambda: time.time() + ahead, keep_days=7)
    entry = reservation(500, DAY)
    assert await desk.reserve(entry) is None
    ahead = 30 * 86_400.0
    assert await desk.reserve(reservation(1, DAY, clock=desk.clock)) is None
    assert books(file).spent == 500
    desk.settle(settled(entry, 20))
    await asyncio.to_thread(desk.close)
    assert (books(file).spent, books(file).attempts) == (20, 20)


async def test_what_is_to_be_settled_waits_for_the_database(file: str, tmp_path: Path) -> None:
    desk = Desk(file)
    entry = reservation(500, DAY)
    assert await desk.reserve(entry) is None
    store, desk._store = desk._store, None
    desk._url = "mysql://nobody/knows"
    assert store is not None
    with pytest.raises(LedgerDown, match=r"state\.url"):
        await desk.reserve(reservation(1, DAY))
    desk.settle(settled(entry, 20))
    desk._url = file
    async with asyncio.timeout(60):
        while books(file).open:  # noqa: ASYNC110 - the desk tells nobody
            await asyncio.sleep(0.05)
    assert books(file) == Books(spent=20, reserved=0, open=0, attempts=20)
    await asyncio.to_thread(desk.close)
    store.close()


def test_an_entry_of_every_kind_fits_one_transaction(url: str) -> None:
    entry = reservation(5, DAY)
    assert isinstance(entry, Reserve)
    assert write(url, entry, Look((MONTH,)), settled(entry, 4)) == {}
    assert books(url).spent == 4
