"""The local encoder: its vectors against transformers' own, its limits, and how batches form.

Skipped where torch or the MiniLM weights are not there; fetches nothing.
"""

import asyncio
import base64
import json
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models import store
from models.cli import Uses
from models.errors import ModelMissing
from serve import config as shipped
from serve.batches import Batches
from serve.config import EncoderLane
from serve.decision import LaneState
from serve.encoder import document, fits
from serve.errors import ConfigError
from serve.lane_errors import LaneRejected, LaneTooLong
from serve.lanes.load import LaneLoad
from serve.up import _require_encoders

if TYPE_CHECKING:
    from models.encoder import SentenceEncoder

MODEL = "all-minilm-l6-v2"
TEXTS = [
    "The cat sleeps on the sofa.",
    "A kitten is asleep on the couch.",
    "Corporate tax law changed in May.",
    "",
    "日本語の文章です。 And some English, with `code()`.",
    "word " * 200,
]


def lane(**more: Any) -> EncoderLane:
    return EncoderLane(kind="encoder", name="here", **more)


def weights() -> Path:
    """The folder of the encoder, or a skip that says what to run."""
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    try:
        return store.path(MODEL)
    except ModelMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def encoder() -> "SentenceEncoder":
    folder = weights()
    from models.encoder import SentenceEncoder

    return SentenceEncoder(folder)


def theirs(folder: Path, texts: list[str]) -> NDArray[np.float32]:
    """Mean pooling as the model's card describes it, with the tokenizer and the model of transformers."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    read = tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
    with torch.no_grad():
        states = model(**read).last_hidden_state
    mask = read["attention_mask"].unsqueeze(-1).float()
    pooled = (states * mask).sum(1) / mask.sum(1)
    found: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=1).numpy()
    return found


def test_vectors_are_those_of_transformers(encoder: "SentenceEncoder") -> None:
    ours = encoder.embed([encoder.tokens(text) for text in TEXTS])
    assert ours.shape == (len(TEXTS), 384)
    assert np.abs(ours - theirs(weights(), TEXTS)).max() < 1e-4


def test_near_sentences_are_near_and_far_ones_far(encoder: "SentenceEncoder") -> None:
    cat, kitten, tax, *_ = encoder.embed([encoder.tokens(text) for text in TEXTS])
    assert cat @ kitten > 0.6
    assert abs(cat @ tax) < 0.2


def test_nothing_is_cut_in_silence(encoder: "SentenceEncoder") -> None:
    assert encoder.longest == 512
    assert len(encoder.tokens("word " * 1000)) == 1002
    one, other = (encoder.embed([encoder.tokens("word " * 400 + end)])[0] for end in ("river", "tax"))
    assert np.abs(one - other).max() > 1e-3


def test_the_company_in_a_batch_does_not_change_a_vector(encoder: "SentenceEncoder") -> None:
    rows = [encoder.tokens(text) for text in TEXTS]
    alone = np.stack([encoder.embed([row])[0] for row in rows])
    assert np.abs(alone - encoder.embed(rows)).max() < 1e-4


def test_cls_pooling_takes_the_first_state(encoder: "SentenceEncoder") -> None:
    import torch
    from transformers import AutoModel

    from models.encoder import SentenceEncoder

    row = encoder.tokens(TEXTS[0])
    with torch.no_grad():
        states = AutoModel.from_pretrained(weights()).eval()(input_ids=torch.tensor([row])).last_hidden_state
    wanted = torch.nn.functional.normalize(states[0, 0], dim=0).numpy()
    assert np.abs(SentenceEncoder(weights(), pooling="cls").embed([row])[0] - wanted).max() < 1e-4


def test_what_is_too_long_is_named_with_its_limit() -> None:
    fits(lane(), 512, [256, 1, 256])
    with pytest.raises(LaneTooLong, match=r"input\[1\] has 257 tokens and all-minilm-l6-v2 takes 256 at"):
        fits(lane(), 512, [256, 257, 900])
    with pytest.raises(LaneTooLong, match=r"input\[0\] has 513 tokens and all-minilm-l6-v2 takes 512 at"):
        fits(lane(context=4096), 512, [513])
    with pytest.raises(LaneTooLong, match="input has 1,500 tokens and one request may have 1,000"):
        fits(lane(max_request_tokens=1000), 512, [250] * 6)


def rows_of(text: str) -> NDArray[np.float32]:
    data = json.loads(text)["data"]
    assert [one["index"] for one in data] == list(range(len(data)))
    return np.stack([np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in data])


def test_fewer_dimensions_are_the_first_ones_of_length_one() -> None:
    vectors = [np.asarray(row, np.float32) for row in ([0.6, 0.0, 0.8], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0])]
    whole = rows_of(document(lane(), vectors, None, 7))
    assert np.array_equal(whole, np.stack(vectors))
    shorter = rows_of(document(lane(), vectors, 2, 7))
    assert np.allclose(
        shorter, [[1, 0], [0, 0], [0, 1]]
    )  # nothing is left of the second: no number is made up
    with pytest.raises(LaneRejected, match="dimensions is 4 and all-minilm-l6-v2 makes 3"):
        document(lane(), vectors, 4, 7)
    assert json.loads(document(lane(), vectors, 2, 7))["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


def test_who_comes_while_a_batch_runs_is_in_the_next() -> None:
    """One item occupies the thread; those behind it take turns, four at a time, without those that were given up."""
    seen, started, go = list[list[int]](), threading.Event(), threading.Event()

    def run(items: list[int]) -> list[int]:
        seen.append(items)
        started.set()
        assert go.wait(30)
        return [-item for item in items]

    async def ask() -> tuple[list[int], ...]:
        batches = Batches(run, 4)
        first = asyncio.create_task(batches.each([0]))
        await asyncio.to_thread(started.wait, 30)
        many = asyncio.create_task(batches.each([1, 2, 3, 4, 5, 6]))
        left = asyncio.create_task(batches.each([7, 8, 9, 10, 11]))
        few = asyncio.create_task(batches.each([12, 13]))
        while len(batches._waiting) < 10:  # noqa: ASYNC110 - all that may wait do
            await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        go.set()
        return tuple(await asyncio.gather(first, many, few))

    assert asyncio.run(ask()) == ([0], [-1, -2, -3, -4, -5, -6], [-12, -13])
    assert seen == [[0], [1, 2, 3, 4], [12, 13], [5, 6]]


def test_a_batch_that_fails_fails_those_in_it_and_nobody_after() -> None:
    def run(items: list[int]) -> list[int]:
        if 0 in items:
            raise ZeroDivisionError
        return items

    async def ask() -> list[int]:
        batches = Batches(run, 2)
        with pytest.raises(ZeroDivisionError):
            await batches.each([1, 0])
        return await batches.each([3, 4, 5])

    assert asyncio.run(ask()) == [3, 4, 5]


def test_an_encoder_without_a_replica_is_down_and_one_with_a_full_queue_brimful() -> None:
    load = LaneLoad(shipped.load(Path(__file__).parents[2] / "configs" / "cpu.yaml"))
    here = load.config.lane("local-embeddings")
    assert isinstance(here, EncoderLane)
    load.report(here.name, 0, "its encoder is unhealthy")
    assert (load.state(here), load.note(here)) == (LaneState.DOWN, "its encoder is unhealthy")
    load.report(here.name, 2, "its encoder is healthy")
    assert load.state(here) is LaneState.READY
    with ExitStack() as calls:
        for _ in range(2 * here.max_ongoing_requests + here.max_queued_requests):
            assert not load.brimful(here.name)
            calls.enter_context(load.call(here.name))
        assert load.brimful(here.name)
    assert not load.brimful(here.name)


def test_an_encoder_without_weights_is_refused_at_start(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    usual = shipped.load(Path(__file__).parents[2] / "configs" / "cpu.yaml")
    for given, words in (
        (lane(model="nobody"), "lanes.here.model: no model 'nobody' in lock.toml"),
        (lane(path=tmp_path / "gone"), "lanes.here.path: there is no folder"),
    ):
        with pytest.raises(ConfigError, match=words):
            _require_encoders(usual.model_copy(update={"lanes": (given,)}))


def test_the_models_of_a_file_are_fetched_with_those_of_its_encoders() -> None:
    lanes: list[Any] = [
        {"kind": "encoder", "model": MODEL},
        {"kind": "encoder", "model": "my-own", "path": "/weights"},
        {"kind": "openai", "model": "gpt"},
    ]
    assert Uses.model_validate({"lanes": lanes, "scout": {"model": MODEL}}).names() == [MODEL]
