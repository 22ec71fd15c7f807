"""Sessions as they are named and kept: a name for each key, an end, and an upper bound."""

from pathlib import Path
from typing import Any

import pytest

from serve.keys.rights import ANONYMOUS, Allowance, Key, Rights
from serve.ledger.terms import Payer
from serve.sessions import name as names
from serve.sessions.store import Placed, SessionStore
from serve.state import open_database
from serve.wire.openai_chat import ChatRequest
from tests.support.databases import KINDS, database

ANN = Payer(ANONYMOUS)
BOB = Payer(Key("b", "bob", "", Rights(), Allowance()))


def called(identity: str, text: str = "go") -> dict[str, Any]:
    call = {"id": identity, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {"role": "assistant", "content": text, "tool_calls": [call]}


def request(*messages: dict[str, Any]) -> ChatRequest:
    return ChatRequest.model_validate({"model": "auto", "messages": list(messages)})


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def result(identity: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": "x"}


def test_a_loop_keeps_its_name_while_it_grows_and_while_its_system_prompt_changes() -> None:
    first = request(system("It is ten."), user("do"))
    begun = names.loop(ANN, first, ["a"])
    second = request(system("It is ten."), user("do"), called("a"), result("a"))
    third = request(
        system("It is eleven."), user("do"), called("a"), result("a"), called("b"), result("b"), user("more")
    )
    assert begun is not None
    assert begun.known_by == "tools"
    assert begun == names.of(ANN, second) == names.of(ANN, third)


def test_another_key_other_ids_and_another_opening_are_other_loops() -> None:
    one = request(user("do"), called("a"), result("a"))
    other = [
        names.of(BOB, one),
        names.of(ANN, request(user("do"), called("b"), result("b"))),
        names.of(ANN, request(user("do not"), called("a"), result("a"))),
    ]
    assert len({names.of(ANN, one), *other}) == 4


def test_a_conversation_without_tools_is_no_session_and_neither_are_calls_without_ids() -> None:
    assert names.of(ANN, request(user("do"), {"role": "assistant", "content": "done"}, user("more"))) is None
    assert names.of(ANN, request(user("do"), called(""), result(""))) is None
    assert names.loop(ANN, request(user("do")), []) is None


def test_a_name_in_a_header_comes_first_and_is_not_shown() -> None:
    found = names.of(Payer(ANONYMOUS, "monday"), request(user("do"), called("a"), result("a")))
    assert found is not None
    assert found.known_by == "header"
    assert "monday" not in found.id
    assert found != names.of(Payer(BOB.key, "monday"), request(user("do")))


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_answer_counts_until_its_time_is_over(kind: str, tmp_path: Path) -> None:
    with database(kind, tmp_path) as url:
        store = SessionStore(open_database(url))
        store.put(Placed("s", "one", "r", 100))
        store.put(Placed("s", "two", "r", 200))
        store.put(Placed("s", "late", "r", 150))  # an answer that was begun before
        assert store.find("s", 199) == Placed("s", "two", "r", 200)
        assert store.find("s", 200) is None
        assert store.find("t", 0) is None
        store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_oldest_sessions_make_room(kind: str, tmp_path: Path) -> None:
    with database(kind, tmp_path) as url:
        store = SessionStore(open_database(url))
        for number in range(10):
            store.put(Placed(f"s{number}", "lane", "r", number))
        store.sweep(1, 3)
        assert [n for n in range(10) if store.find(f"s{n}", -1)] == [7, 8, 9]
        store.sweep(8, 3)
        assert [n for n in range(10) if store.find(f"s{n}", -1)] == [9]
        store.close()
