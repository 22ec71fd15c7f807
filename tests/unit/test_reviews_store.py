"""Reviews in SQLite and in PostgreSQL: decided once, bounded, and their content gone in time."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from serve import state
from serve.errors import ReviewsFull, TooManyReviews
from serve.keys.rights import ANONYMOUS, Allowance, Key, Rights
from serve.reviews.config import ReviewsConfig
from serve.reviews.review import Review, Verdict
from serve.reviews.store import ROW_S, ReviewStore
from tests.support.databases import KINDS, database

LIMITS = ReviewsConfig(expire_s=100, keep_s=50, max_pending=3, max_pending_per_key=2)
NOW = 1_000
HELD = Review(
    id="rev_1",
    decision_id="dec_1",
    key_id="aaaaaaaaaa",
    key_name="asker",
    level="confidential",
    task="other",
    lane="local",
    rule="careful",
    because="the tests want it",
    unseen=0,
    created_at=NOW,
    expires_at=NOW + 100,
    prompt="a prompt with \x00 and 'quotes'; ÅÄÖ 😀",
    answer='{"id": "x"}',
)


def key(public: str, name: str, *, reviewer: bool = True) -> Key:
    return Key(public, name, "", Rights(reviewer=reviewer), Allowance())


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with database(request.param, tmp_path_factory.mktemp(request.param)) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[ReviewStore]:
    engine = state.open_database(url)
    store = ReviewStore(engine, LIMITS)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM reviews"))
    yield store
    store.close()


def found(store: ReviewStore, now: int = NOW, review_id: str = "rev_1") -> Review:
    review = store.find(review_id, now)
    assert review is not None
    return review


def test_what_is_held_comes_back_as_it_was(store: ReviewStore) -> None:
    store.add(HELD, NOW)
    assert found(store) == HELD
    assert store.find("rev_2", NOW) is None
    assert store.listed("pending", 10, NOW) == [replace(HELD, prompt=None, answer=None)]


def test_of_many_who_decide_at_once_one_does(store: ReviewStore) -> None:
    store.add(HELD, NOW)
    start, wins = threading.Barrier(8), list[tuple[str, Verdict]]()

    def decide(number: int) -> None:
        verdict: Verdict = "approved" if number % 2 else "rejected"
        start.wait(60)
        if store.decide("rev_1", verdict, f"reviewer{number}", "note", NOW + number):
            wins.append((f"reviewer{number}", verdict))

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((reviewer, verdict),) = wins
    assert (found(store).reviewer, found(store).status) == (reviewer, verdict)


@pytest.mark.parametrize(("verdict", "answer"), [("approved", HELD.answer), ("rejected", None)])
def test_a_decision_deletes_what_nobody_needs_any_more(
    store: ReviewStore, verdict: Verdict, answer: str | None
) -> None:
    store.add(HELD, NOW)
    assert store.decide("rev_1", verdict, "bbbbbbbbbb", "because \x00", NOW + 10)
    settled = found(store, NOW + 11)
    assert (settled.prompt, settled.answer, settled.note) == (None, answer, "because \x00")
    assert (settled.status, settled.decided_at, settled.reviewer) == (verdict, NOW + 10, "bbbbbbbbbb")


def content(url: str) -> list[object]:
    engine = state.open_database(url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT prompt, answer, note FROM reviews")).all()
    engine.dispose()
    return [value for row in rows for value in row if value is not None]


def test_an_expired_one_is_undecidable_at_once_and_empty_after_a_sweep(store: ReviewStore, url: str) -> None:
    store.add(HELD, NOW)
    late = NOW + 100
    assert found(store, late - 1).status == "pending"
    expired = found(store, late)
    assert (expired.status, expired.prompt, expired.answer) == ("expired", None, None)
    assert not store.decide("rev_1", "approved", "bbbbbbbbbb", "", late)
    assert [review.id for review in store.listed("expired", 10, late)] == ["rev_1"]
    assert store.listed("pending", 10, late) == []
    assert [(review.id, review.status) for review in store.sweep(late)] == [("rev_1", "expired")]
    assert content(url) == []
    assert store.sweep(late) == []
    assert found(store, late).status == "expired"


def test_each_expired_one_is_told_once_when_several_sweep(store: ReviewStore) -> None:
    store.add(HELD, NOW)
    store.add(replace(HELD, id="rev_2"), NOW)
    start, told = threading.Barrier(4), list[str]()

    def sweep() -> None:
        start.wait(60)
        told.extend(review.id for review in store.sweep(NOW + 200))

    threads = [threading.Thread(target=sweep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["rev_1", "rev_2"]


def test_an_answer_is_kept_for_its_time_after_the_decision_and_the_row_for_longer(
    store: ReviewStore, url: str
) -> None:
    store.add(HELD, NOW)
    store.decide("rev_1", "approved", "bbbbbbbbbb", "fine", NOW + 10)
    store.sweep(NOW + 59)
    assert found(store, NOW + 59).answer == HELD.answer
    assert (found(store, NOW + 60).answer, found(store, NOW + 60).note) == (None, None)
    store.sweep(NOW + 60)
    assert content(url) == []
    store.sweep(NOW + 59 + ROW_S)
    assert found(store, NOW + 60).status == "approved"
    store.sweep(NOW + 60 + ROW_S)
    assert store.find("rev_1", NOW) is None


def test_so_many_may_wait_and_no_more(store: ReviewStore) -> None:
    store.add(HELD, NOW)
    store.add(replace(HELD, id="rev_2"), NOW)
    with pytest.raises(TooManyReviews, match="2 answers of this key"):
        store.add(replace(HELD, id="rev_3"), NOW)
    with pytest.raises(TooManyReviews):
        store.require_room(HELD.key_id, NOW)
    store.require_room("bbbbbbbbbb", NOW)
    store.add(replace(HELD, id="rev_4", key_id="bbbbbbbbbb"), NOW)
    with pytest.raises(ReviewsFull, match="3 answers"):
        store.require_room("cccccccccc", NOW)
    store.require_room(HELD.key_id, NOW + 100)


def test_the_bound_holds_when_many_come_at_once(store: ReviewStore) -> None:
    start, refused = threading.Barrier(8), list[str]()

    def add(number: int) -> None:
        start.wait(60)
        try:
            store.add(replace(HELD, id=f"rev_{number}", key_id=f"key{number}"), NOW)
        except ReviewsFull as error:
            refused.append(error.code)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["reviews_full"] * 5
    assert len(store.listed("pending", 10, NOW)) == 3


def test_deleted_content_is_not_left_in_the_files_of_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = ReviewStore(state.open_database(f"sqlite:///{path}"), LIMITS)
    secret = "a secret that must go " * 500
    store.add(replace(HELD, prompt=secret), NOW)
    on_disk = [file for file in tmp_path.iterdir() if b"a secret that must go" in file.read_bytes()]
    assert on_disk
    store.sweep(NOW + 100)
    for file in tmp_path.iterdir():
        assert b"a secret that must go" not in file.read_bytes(), file
    store.close()


SECRETS = {"prompt": "a prompt that must go", "answer": "an answer that must go"}


def left(folder: Path) -> set[str]:
    """Which of the secrets stand in the database's files."""
    whole = b"".join(file.read_bytes() for file in folder.iterdir())
    return {name for name, secret in SECRETS.items() if secret.encode() in whole}


@pytest.mark.parametrize(("verdict", "kept"), [("rejected", set()), ("approved", {"answer"})])
def test_what_a_decision_deletes_is_in_no_file_when_it_has_returned(
    tmp_path: Path, verdict: Verdict, kept: set[str]
) -> None:
    store = ReviewStore(state.open_database(f"sqlite:///{tmp_path / 'state.db'}"), LIMITS)
    store.add(replace(HELD, prompt=SECRETS["prompt"], answer=SECRETS["answer"]), NOW)
    assert left(tmp_path) == {"prompt", "answer"}
    assert store.decide("rev_1", verdict, "bbbbbbbbbb", "", NOW)
    assert left(tmp_path) == kept
    store.close()


def test_a_log_that_is_being_read_is_emptied_by_the_next_sweep(tmp_path: Path) -> None:
    engine = state.open_database(f"sqlite:///{tmp_path / 'state.db'}")
    store = ReviewStore(engine, LIMITS)
    store.add(replace(HELD, prompt=SECRETS["prompt"]), NOW)
    with engine.connect().execution_options(**state.READ_ONLY) as reading:
        reading.execute(text("SELECT count(*) FROM reviews")).all()
        assert store.decide("rev_1", "rejected", "bbbbbbbbbb", "", NOW)
        assert left(tmp_path) == {"prompt"}
    store.sweep(NOW)
    assert left(tmp_path) == set()
    store.close()


@pytest.mark.parametrize(
    ("who", "decides", "looks"),
    [
        pytest.param(key("bbbbbbbbbb", "boss"), True, True, id="a-reviewer"),
        pytest.param(key("aaaaaaaaaa", "asker"), False, True, id="the-one-who-asked"),
        pytest.param(key("cccccccccc", "asker"), False, True, id="the-same-after-a-rotation"),
        pytest.param(key("bbbbbbbbbb", "boss", reviewer=False), False, False, id="somebody-else"),
        pytest.param(key("aaaaaaaaaa", "asker", reviewer=False), False, True, id="the-one-who-asked-plain"),
        pytest.param(key("cccccccccc", "asker", reviewer=False), False, False, id="rotated-and-plain"),
        pytest.param(ANONYMOUS, True, True, id="open-mode"),
    ],
)
def test_who_may_look_and_who_may_decide(who: Key, decides: bool, looks: bool) -> None:
    assert (HELD.may_decide(who), HELD.may_look(who)) == (decides, looks)


def test_in_open_mode_the_one_caller_decides_on_what_it_asked() -> None:
    assert replace(HELD, key_id=ANONYMOUS.id, key_name=ANONYMOUS.name).may_decide(ANONYMOUS)
