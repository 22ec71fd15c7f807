"""One database for many processes: private, locked from the start of a transaction, made once."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, Table, insert, make_url, select, text, update

from serve import state
from serve.errors import ConfigError
from tests.support.databases import KINDS, database

TABLES = MetaData()
COUNTER = Table("counter", TABLES, Column("id", Integer, primary_key=True), Column("value", Integer))


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def opened(url: str) -> Iterator[Engine]:
    engine = state.open_database(url)
    state.create(engine, TABLES)
    yield engine
    engine.dispose()


def together(work: threading.Thread, *more: threading.Thread) -> None:
    for thread in (work, *more):
        thread.start()
    for thread in (work, *more):
        thread.join()


def test_many_may_make_the_tables_at_once(url: str) -> None:
    failures: list[Exception] = []

    def make() -> None:
        engine = state.open_database(url)
        try:
            state.create(engine, TABLES)
        except Exception as error:
            failures.append(error)
        engine.dispose()

    together(*(threading.Thread(target=make) for _ in range(8)))
    assert failures == []


def test_what_is_read_in_a_transaction_is_still_true_when_it_writes(opened: Engine) -> None:
    with opened.begin() as connection:
        connection.execute(insert(COUNTER).values(id=1, value=0))

    def count() -> None:
        for _ in range(20):
            with opened.begin() as connection:
                found = connection.execute(select(COUNTER.c.value).with_for_update()).scalar_one()
                connection.execute(update(COUNTER).values(value=found + 1))

    together(*(threading.Thread(target=count) for _ in range(4)))
    with opened.connect() as connection:
        assert connection.execute(select(COUNTER.c.value)).scalar_one() == 80


def test_a_reader_does_not_wait_for_a_writer(opened: Engine) -> None:
    with opened.begin() as writing, opened.connect().execution_options(**state.READ_ONLY) as reading:
        writing.execute(insert(COUNTER).values(id=1, value=0))
        assert reading.execute(select(COUNTER)).all() == []


def test_the_file_is_its_owners_alone_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.db"
    for durable, synchronous in ((True, 2), (False, 1)):
        engine = state.open_database(f"sqlite:///{path}", durable=durable)
        with engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar_one() == synchronous
        engine.dispose()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("url", ["nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"state\.url"):
        state.open_database(url)


SHORT_VISIT = (
    "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM counter').fetchall()"
)


def test_a_server_that_is_gone_is_noticed_unless_the_url_says_otherwise(tmp_path: Path) -> None:
    """The server's own library takes the words: what it did not know it would refuse."""
    with database("postgresql", tmp_path) as url:
        own = make_url(url).update_query_dict({"connect_timeout": "9", "keepalives_idle": "30"})
        for opened, expected in ((url, ("5", "5000", "5")), (str(own), ("9", "5000", "30"))):
            engine = state.open_database(opened)
            with engine.connect() as connection:
                told = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
            engine.dispose()
            names = ("connect_timeout", "tcp_user_timeout", "keepalives_idle")
            assert tuple(told[name] for name in names) == expected


def test_opening_a_file_again_takes_no_lock_away(tmp_path: Path) -> None:
    """A process that visits the file must not take itself for the last one: it would delete the log under the other."""
    path = tmp_path / "state.db"
    first = state.open_database(f"sqlite:///{path}")
    state.create(first, TABLES)
    with first.begin() as connection:
        connection.execute(insert(COUNTER), {"id": 1, "value": 1})
    log = path.with_name("state.db-wal")
    there = log.stat().st_ino
    second = state.open_database(f"sqlite:///{path}")
    subprocess.run([sys.executable, "-c", SHORT_VISIT, str(path)], check=True, timeout=60)
    assert log.stat().st_ino == there
    for engine in (first, second):
        engine.dispose()


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        state.open_database(f"sqlite:///{tmp_path}")
