"""Promises of what is remembered of texts: the reader's own answer, a bounded number of them, and no text."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.signals import context
from serve.signals.remember import WORTH_CHARACTERS, Remember

LONG = "x" * WORTH_CHARACTERS


@given(st.lists(st.text(), max_size=8))
def test_a_remembered_answer_is_the_readers_own(texts: list[str]) -> None:
    remembered = Remember(context.count, 3)
    for text in (*texts, *texts):
        assert remembered.of(LONG + text) == context.count(LONG + text)
        assert remembered.of(text) == context.count(text)


def test_a_text_that_comes_again_is_not_read_again() -> None:
    read: list[str] = []

    def length(text: str) -> int:
        read.append(text)
        return len(text)

    remembered = Remember(length, 2)
    for text in (LONG, LONG, LONG + "a", LONG, LONG + "b", LONG, LONG + "a"):
        assert remembered.of(text) == len(text)
    assert read == [LONG, LONG + "a", LONG + "b", LONG + "a"]
    assert len(remembered) == 2


def test_a_reader_that_fails_is_asked_again() -> None:
    answers = iter((ValueError("no"), 7))

    def moody(text: str) -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    remembered = Remember(moody, 2)
    with pytest.raises(ValueError, match="no"):
        remembered.of(LONG)
    assert remembered.of(LONG) == 7


def test_no_text_is_kept() -> None:
    remembered = Remember(len, 4)
    remembered.of(LONG + "of a secret kind")
    held = gc.get_referents(remembered)
    assert not any("secret" in repr(one) for one in held)


def test_half_a_character_is_counted_as_before() -> None:
    remembered = Remember(context.count, 4)
    assert remembered.of(LONG + "\ud800") == context.count(LONG + "\ud800")
