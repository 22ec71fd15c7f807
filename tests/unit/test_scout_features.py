"""The hashed features: fixed, bounded, and finite for any text.

Knows nothing about the weights that read them.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.scout import features
from models.scout.features import BUCKETS, CHARACTER_ORDERS, DENSE, LIMIT, capped, extract

MOST_NGRAMS = len(CHARACTER_ORDERS) * LIMIT + 2 * LIMIT

LONG = (
    pytest.param("a" * 1_000_000, id="one-letter"),
    pytest.param("a " * 500_000, id="one-letter-words"),
    pytest.param(" " * 1_000_000, id="spaces"),
    pytest.param("😀" * 250_000, id="emoji"),
    pytest.param("漢字" * 500_000, id="cjk"),
    pytest.param("\u0130" * 500_000, id="grows-in-lower-case"),
)


@pytest.mark.parametrize("text", LONG)
def test_a_long_text_hashes_no_more_than_the_cap(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    hashed: list[int] = []
    real = features.ngram_buckets

    def counting(points: features.Hashes, words: features.Hashes) -> features.Buckets:
        found = real(points, words)
        hashed.append(found.size)
        return found

    monkeypatch.setattr(features, "ngram_buckets", counting)
    extract(text)
    assert sum(hashed) <= MOST_NGRAMS


def test_the_middle_of_a_long_text_is_not_read() -> None:
    head, tail = "h" * features.HEAD_CHARACTERS, "t" * features.TAIL_CHARACTERS
    assert capped(head + "middle" * 1000 + tail) == head + tail


def test_a_short_text_is_read_whole() -> None:
    assert capped("x" * LIMIT) == "x" * LIMIT


@given(st.text(st.characters(), max_size=300))
def test_features_are_finite_normed_and_in_range(text: str) -> None:
    found = extract(text)
    assert found.dense.shape == (len(DENSE),)
    assert np.isfinite(found.dense).all()
    assert (np.diff(found.buckets) > 0).all()
    assert found.buckets.size == 0 or 0 <= found.buckets[0] <= found.buckets[-1] < BUCKETS
    assert np.linalg.norm(found.values) == pytest.approx(1 if found.buckets.size else 0, abs=1e-5)


@given(st.text(max_size=100))
def test_surrounding_space_changes_nothing_but_the_length(text: str) -> None:
    plain, padded = extract(text), extract(f"\n  {text}\t ")
    assert np.array_equal(plain.buckets, padded.buckets)
    assert np.array_equal(plain.values, padded.values)


def test_case_does_not_count() -> None:
    assert np.array_equal(extract("Compare APPLES").values, extract("compare apples").values)


def test_the_hash_is_the_one_that_the_weights_were_trained_with() -> None:
    found = extract("Add 2 and 3?")
    assert found.buckets[:4].tolist() == FIRST_BUCKETS
    assert found.buckets.size == BUCKET_COUNT


# Changing these numbers means that every shipped artefact must be trained anew.
FIRST_BUCKETS = [35, 2366, 2368, 2381]
BUCKET_COUNT = 51
