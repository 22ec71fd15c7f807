"""The table of seals, on each database: what is known, for how long, and how many of them."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import delete

from serve import state
from serve.thoughts.store import _SEALS, Seal, SealStore
from tests.support.databases import KINDS, database
from tests.support.memory import memory_folder

SEAL = Seal("a" * 64, "cloud-anthropic", "b" * 32, "public", 100)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with memory_folder() as folder, database(request.param, folder) as url:
        yield url


@pytest.fixture
def store(server: str) -> Iterator[SealStore]:
    """Empty, on a database that is there already."""
    engine = state.open_database(server, durable=False)
    found = SealStore(engine)
    with engine.begin() as connection:
        connection.execute(delete(_SEALS))
    yield found
    found.close()


def seals(count: int) -> list[Seal]:
    """Of one second each, the oldest first."""
    return [replace(SEAL, id=f"{number:064x}", at=number) for number in range(count)]


def test_a_seal_comes_back_as_it_was_put_and_others_do_not_come(store: SealStore) -> None:
    other = replace(SEAL, id="c" * 64, lane="another", level="internal")
    store.put([SEAL, other])
    assert store.find([SEAL.id, "d" * 64], 0) == {SEAL.id: SEAL}
    assert store.find([], 0) == {}
    assert store.find([SEAL.id, other.id], 0) == {SEAL.id: SEAL, other.id: other}


def test_another_router_on_the_same_database_finds_it(store: SealStore, server: str) -> None:
    store.put([SEAL])
    other = SealStore(state.open_database(server, durable=False))
    assert other.find([SEAL.id], 0) == {SEAL.id: SEAL}
    other.close()


def test_a_blob_that_was_given_again_is_known_by_the_last_word(store: SealStore) -> None:
    store.put([SEAL])
    again = replace(SEAL, lane="another", place="e" * 32, level="internal", at=200)
    store.put([again, replace(again, at=300)])  # twice in one answer
    assert store.find([SEAL.id], 0) == {SEAL.id: replace(again, at=300)}


def test_what_is_too_old_is_not_found_before_it_is_swept(store: SealStore) -> None:
    store.put([SEAL])
    assert store.find([SEAL.id], SEAL.at - 1)
    assert not store.find([SEAL.id], SEAL.at)


def test_more_than_one_statement_may_ask_for_are_found_all_the_same(store: SealStore) -> None:
    many = seals(1_201)
    store.put(many)
    assert store.find([one.id for one in many], -1) == {one.id: one for one in many}


def test_the_old_and_the_oldest_beyond_the_bound_make_room(store: SealStore) -> None:
    ten = seals(10)
    store.put(ten)
    store.sweep(1, 100)
    assert set(store.find([one.id for one in ten], -1)) == {one.id for one in ten[2:]}
    store.sweep(1, 3)
    assert set(store.find([one.id for one in ten], -1)) == {one.id for one in ten[7:]}
    store.sweep(8, 3)
    assert set(store.find([one.id for one in ten], -1)) == {ten[9].id}
