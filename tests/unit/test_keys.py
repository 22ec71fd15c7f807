"""Keys: their text, how they are kept, what their entries mean, and how a router holds them."""

import asyncio
import hashlib
import hmac
import logging
import socket
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect, text

from serve import state
from serve.errors import ConfigError, KeyNameTaken, KeysUnavailable, KeysUnreadable, Unauthorized, UnknownKey
from serve.keys import credential, file
from serve.keys.config import KeysConfig, LimitsConfig
from serve.keys.entry import Grant, KeyEntry, moment, snapshot, usable
from serve.keys.keyring import Keyring
from serve.keys.rights import Allowance
from serve.keys.store import KeyStore
from serve.signals.readings import Sensitivity
from tests.support.databases import KINDS, database
from tests.support.memory import memory_folder
from tests.support.nightly import cases

DEFAULTS = LimitsConfig()


def made(name: str = "me", expires: float | None = None, **grant: Any) -> tuple[KeyEntry, str]:
    public, key, sha256 = credential.mint()
    ends = None if expires is None else moment(time.time() + expires)
    return KeyEntry(
        id=public, name=name, sha256=sha256, expires_at=ends, grant=Grant.model_validate(grant)
    ), key


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with memory_folder() as folder, database(request.param, folder) as url:
        yield url


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """A database without keys, of both kinds."""
    yield server
    engine = state.open_database(server)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS keys"))
    engine.dispose()


@pytest.fixture
def store(url: str) -> KeyStore:
    return KeyStore(url)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a SQLite file of keys may come to be."""
    return tmp_path / "state" / "keys.db"


# --- the text --------------------------------------------------------------------------------------------------


def test_a_key_carries_256_random_bits_and_its_public_id() -> None:
    public, key, sha256 = credential.mint()
    assert key.startswith(f"pm-{public}-")
    assert credential.split(key) == (public, key.removeprefix(f"pm-{public}-"))
    assert len(key.removeprefix(f"pm-{public}-")) * 6 >= 256
    assert hashlib.sha256(key.removeprefix(f"pm-{public}-").encode()).hexdigest() == sha256
    assert len({credential.mint()[1] for _ in range(200)}) == 200


@given(st.text())
def test_no_other_text_is_a_key(text: str) -> None:
    assert credential.split(text) is None
    assert credential.split(f"pm-0123456789-{text}") is None or len(text) == 43


async def test_an_unknown_id_takes_the_same_comparison_as_a_wrong_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry, key), (_, other) = made(), made()
    write(tmp_path / "k.yaml", entry)
    keys = ring(tmp_path / "k.yaml")
    compared = []
    real = hmac.compare_digest

    def spy(one: str, other: str) -> bool:
        compared.append((one, len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    wrong = key[:-43] + other[-43:]
    assert [await refused(keys, each) for each in (key, wrong, other)] == [False, True, True]
    assert compared == [(credential.digest(each[-43:]), 64) for each in (key, wrong, other)]


# --- at rest ---------------------------------------------------------------------------------------------------


def test_the_file_holds_no_secret_and_is_its_owners_alone(path: Path) -> None:
    entry, key = made()
    KeyStore(f"sqlite:///{path}").add(entry)
    secret = key.rpartition(entry.id)[2]
    assert secret.encode() not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_table_holds_no_secret(store: KeyStore, url: str) -> None:
    entry, key = made(expires=36_500 * 86_400.0)
    store.add(entry)
    engine = state.open_database(url)
    with engine.connect() as connection:
        kept = str(connection.execute(text("SELECT * FROM keys")).all())
    engine.dispose()
    assert entry.sha256 in kept
    assert key.rpartition(f"{entry.id}-")[2] not in kept


def test_an_entry_comes_back_as_it_went_in(store: KeyStore) -> None:
    entry, _ = made(
        expires=1000,
        lanes=["a", "b"],
        overrides=True,
        class_floor="internal",
        scopes=["admin"],
        requests_per_minute=3,
        tokens_per_minute=4,
        max_parallel=5,
        budget_usd_month="12.50",
    )
    store.add(entry)
    (back,) = store.entries()
    assert back.model_copy(update={"created_at": None}) == entry
    assert back.created_at is not None


def test_without_a_database_there_are_no_keys_and_none_is_made(path: Path) -> None:
    assert KeyStore(f"sqlite:///{path}").entries() == []
    assert not path.exists()


def test_a_server_without_keys_has_none_and_reading_makes_no_table(store: KeyStore, url: str) -> None:
    assert store.entries() == []
    engine = state.open_database(url)
    assert not inspect(engine).has_table("keys")
    engine.dispose()


def test_a_name_is_one_persons_until_it_is_revoked(store: KeyStore) -> None:
    store.add(made("team")[0])
    with pytest.raises(KeyNameTaken, match="team"):
        store.add(made("team")[0])
    store.revoke("team")
    store.add(made("team")[0])
    assert sorted(entry.state(time.time()) for entry in store.entries()) == ["active", "revoked"]


def test_two_who_create_the_same_name_at_once_do_not_both_get_it(url: str) -> None:
    """Nor does either of them fail because the other one makes the table at this moment."""
    outcomes: list[str] = []

    def create() -> None:
        try:
            KeyStore(url).add(made("team")[0])
            outcomes.append("made")
        except KeyNameTaken:
            outcomes.append("taken")

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["made", *["taken"] * 7]


def test_rotation_leaves_the_old_key_its_grace_and_revocation_ends_both(store: KeyStore) -> None:
    old, new = made("team", overrides=True)[0], made("team", overrides=True)[0]
    store.add(old)
    store.rotate(store.current("team"), new, 100)
    states = {entry.id: entry.state(time.time()) for entry in store.entries()}
    assert states == {old.id: "grace", new.id: "active"}
    assert {e.id: e.state(time.time() + 101) for e in store.entries()}[old.id] == "revoked"
    assert store.current("team").id == new.id
    assert sorted(store.revoke("team")) == sorted([old.id, new.id])
    assert {entry.state(time.time()) for entry in store.entries()} == {"revoked"}
    with pytest.raises(UnknownKey):
        store.current("team")
    with pytest.raises(UnknownKey):
        store.revoke("team")


def test_a_grace_never_outlives_the_key(store: KeyStore) -> None:
    old, _ = made("team", expires=50)
    store.add(old)
    store.rotate(store.current("team"), made("team")[0], 1000)
    assert {e.id: e.expires_at for e in store.entries()}[old.id] == old.expires_at


def test_two_rotations_of_one_key_give_one_new_key(store: KeyStore) -> None:
    store.add(made("team")[0])
    old = store.current("team")
    store.rotate(old, made("team")[0], 0)
    with pytest.raises(UnknownKey, match="replaced"):
        store.rotate(old, made("team")[0], 0)
    assert len(store.entries()) == 2


def test_who_revokes_while_another_rotates_leaves_no_key_that_works(url: str) -> None:
    """Either the rotation comes first and both keys stop, or it finds nothing to rotate."""
    for _ in range(cases(5, 50)):
        KeyStore(url).add(made("team")[0])
        old, new = KeyStore(url).current("team"), made("team")[0]
        with ThreadPoolExecutor(2) as pool:
            rotating = pool.submit(KeyStore(url).rotate, old, new, 1000)
            revoking = pool.submit(KeyStore(url).revoke, "team")
        assert old.id in revoking.result()
        assert isinstance(rotating.exception(), UnknownKey | None)
        assert {entry.state(time.time()) for entry in KeyStore(url).entries()} == {"revoked"}


def test_sql_in_a_name_is_a_name(store: KeyStore) -> None:
    store.add(made("team")[0])
    with pytest.raises(UnknownKey):
        store.revoke("' OR '1'='1")
    assert [entry.state(time.time()) for entry in store.entries()] == ["active"]


def test_a_database_that_is_none_is_said_so(path: Path) -> None:
    store = KeyStore(f"sqlite:///{path}")
    path.parent.mkdir()
    path.write_bytes(b"x" * 5000)
    with pytest.raises(KeysUnreadable, match=r"keys\.db"):
        store.entries()
    with pytest.raises(KeysUnreadable, match=r"keys\.db"):
        store.add(made()[0])


def test_a_place_that_cannot_even_be_looked_into_is_said_so(tmp_path: Path) -> None:
    # Root may look into everything, but no file system has names this long.
    with pytest.raises(KeysUnreadable, match="name too long"):
        KeyStore(f"sqlite:///{tmp_path}/{'x' * 300}/keys.db").entries()


def test_a_server_that_is_away_is_said_so_without_its_password() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else's
        away = KeyStore(f"postgresql://me:hunter2@127.0.0.1:{held.getsockname()[1]}/ours")
        for failing in (away.entries, lambda: away.add(made()[0])):
            with pytest.raises(KeysUnreadable) as caught:
                failing()
            assert str(caught.value) == "PostgreSQL 127.0.0.1, database ours: OperationalError"


def test_an_address_that_is_none_is_said_without_quoting_it() -> None:
    with pytest.raises(ConfigError) as caught:
        KeyStore("postgresql://me:hunter2@host:port/ours")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("own", "state_url", "expected"),
    [
        (None, None, None),
        (None, "sqlite:////state.db", None),
        (None, "postgresql://host/db", "postgresql://host/db"),
        ("sqlite:////keys.db", "postgresql://host/db", "sqlite:////keys.db"),
    ],
)
def test_keys_are_kept_with_everything_else_where_that_is_a_server(
    own: str | None, state_url: str | None, expected: str | None
) -> None:
    assert KeysConfig(url=own).database(state_url) == expected


# --- entries ---------------------------------------------------------------------------------------------------


def test_a_file_of_entries_is_read_as_it_was_written(tmp_path: Path) -> None:
    entry, key = made(expires=500, lanes=["local-general"], scopes=["reviewer"])
    path = tmp_path / "keys.yaml"
    path.write_text("keys:\n" + file.written(entry))
    assert file.read(path) == [entry]
    assert key not in path.read_text()


@pytest.mark.parametrize(
    "text", ["", "keys: 3", "- a", "keys: []\nmore: 1", "{", "keys: !!python/object:os.system {}"]
)
def test_a_file_that_is_no_list_of_keys_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(KeysUnreadable) as caught:
        file.read(path)
    assert str(caught.value).startswith(str(path))
    assert "python/object" not in str(caught.value)


def test_one_wrong_entry_takes_only_its_own_key_away(caplog: pytest.LogCaptureFixture) -> None:
    good, _ = made()
    wrong = {"id": "0123456789", "name": "x", "sha256": "pm-0123456789-" + "s" * 43}
    unknown = good.model_dump() | {"id": "9876543210", "grant": {"may_do_all": True}}
    assert usable([wrong, good.model_dump(), unknown, good.model_dump()]) == [good]
    assert "entry 1" in caplog.text
    assert "may_do_all" in caplog.text
    assert "stands twice" in caplog.text
    assert "sss" not in caplog.text


def test_an_entry_grants_the_least_unless_it_says_more() -> None:
    least = made()[0].key(DEFAULTS)
    assert (least.rights.overrides, least.rights.reviewer, least.rights.admin) == (False, False, False)
    assert least.allowance == Allowance(None, None, 128)
    more = made(overrides=True, class_floor="confidential", scopes=["admin"], lanes=["a"], max_parallel=2)[0]
    key = more.key(LimitsConfig(requests_per_minute=7))
    assert key.allowance == Allowance(7, None, 2)
    assert key.rights.floor is Sensitivity.CONFIDENTIAL
    assert (key.rights.may_use("a"), key.rights.may_use("b"), key.rights.admin) == (True, False, True)


def test_a_router_keeps_only_keys_that_can_still_work() -> None:
    entries = [made("a")[0], made("b", expires=-10)[0], made("c", expires=100)[0]]
    assert sorted(key.name for key in snapshot(entries, DEFAULTS).values()) == ["a", "c"]


def test_limits_are_shared_by_the_routers_and_never_nothing() -> None:
    assert Allowance(60, None, 1).shared_by(4) == Allowance(15, None, 1)


@pytest.mark.parametrize(
    "section",
    [
        {"url": "sqlite:///keys.db"},
        {"url": "postgresql://host/db"},
        {"file": "keys.yaml"},
        {"url": "sqlite:////a", "file": "/b"},
        {"refresh_s": 30},
        {"mode": "closed"},
    ],
)
def test_what_cannot_be_right_about_keys_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        KeysConfig.model_validate(section)


# --- in a router -----------------------------------------------------------------------------------------------


def ring(path: Path, *, stale_s: float = 60) -> Keyring:
    return Keyring(KeysConfig(file=path, refresh_s=0.02, stale_s=stale_s), lambda: DEFAULTS)


def write(path: Path, *entries: KeyEntry) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump({"keys": [e.model_dump(mode="json") for e in entries]}))
    fresh.rename(path)


async def refused(keys: Keyring, key: str) -> bool:
    try:
        await keys.find(key)
    except Unauthorized:
        return True
    return False


async def becomes(keys: Keyring, key: str, *, closed: bool) -> None:
    async with asyncio.timeout(30):
        while await refused(keys, key) is not closed:  # noqa: ASYNC110 - a keyring has no event for it
            await asyncio.sleep(0.01)


async def until_unavailable(keys: Keyring, key: str) -> None:
    while True:
        await keys.find(key)
        await asyncio.sleep(0.01)


async def test_every_key_that_does_not_work_is_refused_with_the_same_words(tmp_path: Path) -> None:
    good, key = made()
    late, late_key = made("late", expires=-1)
    write(tmp_path / "k.yaml", good, late)
    keys = ring(tmp_path / "k.yaml")
    assert (await keys.find(key)).name == "me"
    words = set()
    for wrong in (made()[1], f"pm-{good.id}-{'x' * 43}", late_key, "", "sk-1", key + "x", key[:-1]):
        with pytest.raises(Unauthorized) as caught:
            await keys.find(wrong)
        words.add(str(caught.value.body()))
    assert len(words) == 1


async def test_a_key_that_runs_out_between_two_readings_is_refused(tmp_path: Path) -> None:
    soon, key = made(expires=4)
    write(tmp_path / "k.yaml", soon)
    keys = Keyring(KeysConfig(file=tmp_path / "k.yaml", refresh_s=4), lambda: DEFAULTS)
    await keys.find(key)
    (tmp_path / "k.yaml").unlink()
    await becomes(keys, key, closed=True)


async def test_a_new_and_a_revoked_key_are_noticed_by_a_running_router(tmp_path: Path) -> None:
    (one, first), (two, second) = made("one"), made("two")
    write(tmp_path / "k.yaml", one)
    keys = ring(tmp_path / "k.yaml")
    assert await refused(keys, second)
    write(tmp_path / "k.yaml", two)
    await becomes(keys, second, closed=False)
    assert await refused(keys, first)


async def test_unreadable_keys_stand_for_a_bounded_time_and_then_nobody_is_let_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry, key = made()
    path = tmp_path / "k.yaml"
    write(path, entry)
    keys = ring(path, stale_s=6)
    await keys.find(key)
    path.write_text("{")
    caplog.set_level(logging.WARNING)
    async with asyncio.timeout(30):
        while "cannot be read" not in caplog.text:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
    await keys.find(key)
    with pytest.raises(KeysUnavailable):
        await asyncio.wait_for(until_unavailable(keys, key), 30)
    write(path, entry)
    async with asyncio.timeout(30):
        while "can be read again" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await keys.find(key)).id == entry.id


async def test_without_ever_having_read_the_keys_nobody_is_let_in(tmp_path: Path) -> None:
    with pytest.raises(KeysUnavailable):
        await ring(tmp_path / "none.yaml").find(made()[1])
