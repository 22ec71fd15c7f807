"""Promises of the word splitter: on ASCII it finds what its pattern finds."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.scout.words import DIGITS, LETTERS, LETTERS_AND_DIGITS, Words

ASCII = st.text(st.characters(max_codepoint=127))


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        (r"\w+", LETTERS_AND_DIGITS + "_"),
        (r"[^\W_]+", LETTERS_AND_DIGITS),
        (r"[^\W\d_]+", LETTERS),
        (r"\d+", DIGITS),
        (r"[\d.]+", DIGITS + "."),
    ],
)
@given(text=st.one_of(st.text(string.printable), ASCII, st.text()))
def test_words_are_what_the_pattern_finds(pattern: str, kept: str, text: str) -> None:
    words = Words(pattern, kept)
    assert words.of(text) == re.findall(pattern, text)
    assert words.encoded(text) == [word.encode("utf-8", "surrogatepass") for word in words.of(text)]
