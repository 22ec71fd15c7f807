"""The sentence encoder and the Scout head. Skipped where torch or the MiniLM weights are not there.

Uses `models.store` for the weights, as the product does; fetches nothing.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from models import store
from models.errors import ModelMissing

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

if TYPE_CHECKING:
    from models.scout.encoder import Encoder, ScoutHead

MODEL = "all-minilm-l6-v2"


def _weights() -> Path:
    """The folder of the encoder, or a skip that says what to run."""
    try:
        return store.path(MODEL)
    except ModelMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def encoder() -> "Encoder":
    from models.scout.encoder import Encoder

    return Encoder(_weights())


@pytest.fixture(scope="module")
def scout(encoder: "Encoder") -> "ScoutHead":
    from models.scout.encoder import ScoutHead

    return ScoutHead.load(encoder)


def test_embeddings_are_unit_vectors_in_order(encoder: "Encoder") -> None:
    texts = ["hello", "a longer sentence about railway points", ""]
    vectors = encoder.embed(texts)
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[1], encoder.embed(texts[1:2])[0], atol=1e-5)


def test_like_sentences_lie_closer_than_unlike_ones(encoder: "Encoder") -> None:
    cat, kitten, tax = encoder.embed(["The cat sleeps.", "A kitten is asleep.", "Tax law changed in May."])
    assert cat @ kitten > cat @ tax + 0.2


def test_no_text_gives_no_vector(encoder: "Encoder", scout: "ScoutHead") -> None:
    assert encoder.embed([]).shape == (0, 384)
    assert scout.judge([]) == []


@pytest.mark.parametrize("text", ["a " * 500_000, "漢字" * 250_000, "😀" * 100_000, "\ud800" * 10, "\x00"])
def test_any_text_becomes_at_most_128_tokens(encoder: "Encoder", text: str) -> None:
    assert 2 <= len(encoder._tokens(text)) <= 128


def test_head_and_tail_tokens_are_kept(encoder: "Encoder") -> None:
    middle = encoder._tokens("start " + "word " * 200 + "end")
    assert middle[1] == encoder._tokens("start")[1]
    assert middle[-2] == encoder._tokens("end")[1]


def test_judgements_are_calibrated_probabilities_from_the_scout(scout: "ScoutHead") -> None:
    for reading, task in scout.judge(["Compare 2+2 and 3+3", "Prove the spectral theorem.", ""]):
        assert reading.source == "scout"
        assert reading.trivial + reading.standard + reading.complex == pytest.approx(1)
        assert 0 < task.confidence <= 1


def test_the_classic_is_not_complex(scout: "ScoutHead") -> None:
    assert scout.judge(["Compare 2+2 and 3+3"])[0][0].difficulty != "complex"
