"""Embeddings from the encoder of this machine, over HTTP with the official client: the real weights, without Ray."""

import asyncio
import base64
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import bpe_openai
import httpx2
import numpy as np
import openai
import pytest

from tests.http.conftest import Scene
from tests.http.test_audit import records, wait_for
from tests.http.test_embeddings import IBAN, lane, post, with_lanes
from tests.support.serving import client, serving
from tests.support.upstream import ThreadedUpstream
from tests.unit.test_encoder import MODEL, theirs, weights

ENCODER: dict[str, Any] = {"name": "local-embeddings", "kind": "encoder", "model": MODEL}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The encoder first; one without weights, one with small limits, and upstreams of both models."""
    weights()
    nothing = tmp_path_factory.mktemp("nothing")
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        lanes: list[dict[str, Any]] = [
            ENCODER,
            ENCODER
            | {"name": "small", "model": "small-limits", "path": str(weights()), "max_request_tokens": 30},
            ENCODER | {"name": "broken", "model": "twin", "path": str(nothing)},
            lane("stands-in", local.url, "twin"),
            ENCODER | {"name": "alone", "model": "nobody-else", "path": str(nothing)},
            lane("cloud-embeddings", cloud.url, "big-embedder", "global", price={"input": 1, "output": 0}),
        ]
        state = {"state": {"url": f"sqlite:///{nothing.parent / 'state.db'}"}}
        url = stack.enter_context(serving(with_lanes(local.url, cloud.url, *lanes, **state)))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


@pytest.fixture
def s(shared: Scene) -> Scene:
    """The shared scene with upstreams that remember nothing."""
    shared.local.clear()
    shared.cloud.clear()
    return shared


TEXTS = ["The cat sleeps on the sofa.", "A kitten is asleep on the couch.", "Corporate tax law changed."]


@pytest.mark.parametrize("model", ["auto", "local-embeddings", MODEL])
@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_the_vectors_of_the_model_come_as_they_were_asked_for(s: Scene, model: str, form: Any) -> None:
    asked = {} if form is None else {"encoding_format": form}
    found = s.ask.embeddings.create(model=model, input=TEXTS, user="u-1", **asked)
    given: list[Any] = [one.embedding for one in found.data]
    rows = [
        np.frombuffer(base64.b64decode(one), "<f4") if form == "base64" else np.array(one) for one in given
    ]
    assert np.abs(np.stack(rows) - theirs(weights(), TEXTS)).max() < 1e-4
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.4
    assert [one.index for one in found.data] == [0, 1, 2]
    assert found.model == MODEL
    assert found.usage.prompt_tokens == found.usage.total_tokens == 9 + 10 + 7
    assert not s.local.requests
    assert not s.cloud.requests


def test_a_text_tokens_and_dimensions(s: Scene) -> None:
    whole = np.array(s.ask.embeddings.create(model="auto", input=TEXTS[0]).data[0].embedding)
    tokens = bpe_openai.get_encoding("cl100k_base").encode_ordinary(TEXTS[0])
    for given in (tokens, [tokens]):
        [row] = s.ask.embeddings.create(model="auto", input=given).data
        assert np.abs(np.array(row.embedding) - whole).max() < 1e-5
    [row] = s.ask.embeddings.create(model="auto", input=TEXTS[0], dimensions=64).data
    assert np.abs(np.array(row.embedding) - whole[:64] / np.linalg.norm(whole[:64])).max() < 1e-5
    with pytest.raises(openai.BadRequestError, match=f"dimensions is 385 and {MODEL} makes 384") as refused:
        s.ask.embeddings.create(model="auto", input=TEXTS[0], dimensions=385)
    assert refused.value.code == "request_rejected"


def test_what_is_too_long_is_a_400_that_names_the_text_and_the_limit(s: Scene) -> None:
    words = f"local-embeddings: input\\[1\\] has 302 tokens and {MODEL} takes 256 at a time: split the text"
    with pytest.raises(openai.BadRequestError, match=words) as refused:
        s.ask.embeddings.create(model="auto", input=["short", "word " * 300, "word " * 400])
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(
        openai.BadRequestError, match="input has 40 tokens and one request may have 30"
    ) as refused:
        s.ask.embeddings.create(model="small", input=["word " * 8] * 4)
    assert refused.value.code == "context_length_exceeded"
    # A refused request is no fault of the lane.
    assert s.ask.embeddings.create(model="auto", input="word " * 254).usage.prompt_tokens == 256


def test_many_texts_of_many_clients_at_once_come_back_in_order(s: Scene) -> None:
    texts = [f"{'word ' * (n % 7)}text number {n}" for n in range(40)]

    async def ask() -> list[list[list[float]]]:
        async with openai.AsyncOpenAI(base_url=f"{s.url}/v1", api_key="any", max_retries=0) as sdk:
            calls = (sdk.embeddings.create(model=MODEL, input=texts[n:] + texts[:n]) for n in range(4))
            return [[row.embedding for row in answer.data] for answer in await asyncio.gather(*calls)]

    wanted = theirs(weights(), texts)
    for n, found in enumerate(asyncio.run(ask())):
        assert np.abs(np.array(found) - np.roll(wanted, -n, axis=0)).max() < 1e-4


def test_confidential_text_is_embedded_at_home(s: Scene) -> None:
    answer = post(s, {"x-pointsman-prefer": "cloud"}, input=["hello", f"pay {IBAN}"])
    assert answer.status_code == 200
    assert answer.headers["x-pointsman-lane"] == "local-embeddings"
    assert answer.headers["x-pointsman-reason"] == "sensitivity_confidential"
    assert not s.cloud.received_bytes


def test_another_lane_of_the_model_takes_over_and_no_other_model(s: Scene) -> None:
    raw = s.ask.embeddings.with_raw_response.create(model="twin", input="hello")
    assert raw.headers["x-pointsman-trail"] in ("broken=misconfigured, stands-in=ok", "stands-in=ok")
    assert raw.parse().model == "twin"
    answer = post(s, model="nobody-else")
    assert answer.status_code in (502, 503)
    assert "its model could not be loaded" in answer.json()["error"]["message"]
    assert not s.cloud.requests


def test_chat_and_vectors_keep_to_their_lanes(s: Scene) -> None:
    with pytest.raises(openai.BadRequestError, match="local-embeddings: makes embeddings only"):
        s.ask.chat.completions.create(
            model="local-embeddings", messages=[{"role": "user", "content": "hello"}]
        )
    refused = post(s, model="local-general")
    assert refused.status_code == 400
    answer = s.ask.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "hello"}]
    )
    assert answer.headers["x-pointsman-lane"] == "local-general"


def test_it_is_listed_ready_and_free(s: Scene) -> None:
    names = {model.id for model in s.ask.models.list()}
    assert {"local-embeddings", MODEL} <= names
    assert f"cloud/{MODEL}" not in names
    lanes = httpx2.get(f"{s.url}/readyz", trust_env=False, timeout=60).json()["lanes"]
    assert (lanes["local-embeddings"]["kind"], lanes["local-embeddings"]["location"]) == ("encoder", "device")
    answer = post(s)
    assert float(answer.headers["x-pointsman-cost-usd"]) == 0


def test_the_audit_log_has_the_model_and_its_pinned_revision(tmp_path: Path) -> None:
    weights()
    file = tmp_path / "state.db"
    with ThreadedUpstream() as up:
        state = {"state": {"url": f"sqlite:///{file}"}, "audit": {"write_timeout_s": 60}}
        with serving(with_lanes(up.url, up.url, ENCODER, **state)) as url, client(url) as sdk:
            sdk.embeddings.create(model="auto", input="hello")
            wait_for(lambda: bool(records(file, "outcome")))
            [outcome] = records(file, "outcome")
    assert (outcome["answered"]["lane"], outcome["cloud_egress"]) == ("local-embeddings", False)
    assert outcome["answered"]["model"] == MODEL
    assert len(outcome["answered"]["revision"]) == 40
    assert b"hello" not in file.read_bytes()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"location": "global"}, "'device' or 'private'"),
        ({"context": 0}, "greater than or equal to 8"),
        ({"base_url": "http://127.0.0.1:9"}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_encoder_is_refused_at_load(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        with_lanes("http://127.0.0.1:9", "http://127.0.0.1:9", ENCODER | more)
