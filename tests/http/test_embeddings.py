"""Embeddings over HTTP with the official client: from every lane that makes them, and never from one that may not."""

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

from serve.config import Config
from tests.http.conftest import Scene
from tests.http.test_audit import records, wait_for
from tests.http.test_keys import Desk
from tests.support.serving import client, config, serving
from tests.support.spending import attempts
from tests.support.upstream import ThreadedUpstream
from tests.support.wire_embeddings import vector

IBAN = "DE89370400440532013000"
PATIENT: dict[str, Any] = {"cooldown_s": 0, "last_wait_s": 0.1, "retries": {"floor": 10_000}}
PRICE = {"input": 2.0, "output": 0}


def lane(name: str, url: str, model: str, location: str = "device", **more: Any) -> dict[str, Any]:
    fixed = {"kind": "openai", "base_url": f"{url}/v1", "context": 8192, "embeddings": True}
    return fixed | {"name": name, "model": model, "location": location} | more


def with_lanes(local: str, cloud: str, *lanes: dict[str, Any], **changes: Any) -> Config:
    """The usual lanes and these behind them."""
    settings = config(local, cloud)
    raw = settings.model_dump(mode="json") | {"dispatch": PATIENT} | changes
    return Config.model_validate(raw | {"lanes": [*raw["lanes"], *lanes]})


@pytest.fixture(scope="module")
def shared() -> Iterator[Scene]:
    """A local and a cloud model, the cloud first, and one lane for each fault."""
    with ExitStack() as stack:
        local, cloud = (stack.enter_context(ThreadedUpstream()) for _ in range(2))
        faults = ["vectors_missing", "vectors_uneven", "vectors_nan", "vectors_float", "bad_usage"]
        lanes = [
            lane("embed-cloud", cloud.url, "big-embedder", "global", price=PRICE),
            lane("embed-local", local.url, "small-embedder"),
            lane("twin-broken", cloud.url, "fake/500", "global"),
            *(lane(fault, local.url, f"fake/{fault}") for fault in faults),
        ]
        url = stack.enter_context(serving(with_lanes(local.url, cloud.url, *lanes)))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


@pytest.fixture
def s(shared: Scene) -> Scene:
    """The shared scene with upstreams that remember nothing."""
    shared.local.clear()
    shared.cloud.clear()
    return shared


def post(s: Scene, headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
    asked = {"model": "auto", "input": "hello"} | body
    return httpx2.post(
        f"{s.url}/v1/embeddings", json=asked, headers=headers or {}, trust_env=False, timeout=60
    )


@pytest.mark.parametrize("model", ["embed-local", "small-embedder", "cloud/small-embedder", "vectors_float"])
@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_vectors_come_as_they_were_asked_for(s: Scene, model: str, form: Any) -> None:
    texts = ["hello there", "a second text", "日本語"]
    asked = {} if form is None else {"encoding_format": form}
    found = s.ask.embeddings.create(model=model, input=texts, **asked)
    assert [row.index for row in found.data] == [0, 1, 2]
    for row, text in zip(found.data, texts, strict=True):
        raw: Any = row.embedding
        if form == "base64":
            raw = np.frombuffer(base64.b64decode(raw), dtype="<f4").tolist()
        assert raw == vector(text)
    assert found.usage.prompt_tokens > 0
    assert not s.cloud.requests


def test_one_text_dimensions_and_headers(s: Scene) -> None:
    raw = s.ask.embeddings.with_raw_response.create(model="auto", input="hello", dimensions=3, user="u-1")
    [row] = raw.parse().data
    assert row.embedding == vector("hello", 3)
    assert raw.parse().model == "big-embedder"
    assert raw.headers["x-pointsman-lane"] == "embed-cloud"
    assert raw.headers["x-pointsman-reason"] == "embeddings"
    assert raw.headers["x-pointsman-decision-id"].startswith("dec_")
    assert float(raw.headers["x-pointsman-cost-usd"]) > 0
    sent = s.cloud.requests[-1].json
    wanted = {
        "model": "big-embedder",
        "input": ["hello"],
        "encoding_format": "base64",
        "dimensions": 3,
        "user": "u-1",
    }
    assert sent == wanted


@pytest.mark.parametrize("several", [False, True])
def test_tokens_reach_the_lane_as_the_text_that_was_scanned(s: Scene, several: bool) -> None:
    tokens = bpe_openai.get_encoding("cl100k_base").encode_ordinary("hello there, 日本")
    found = s.ask.embeddings.create(model="embed-local", input=[tokens, tokens] if several else tokens)
    assert [row.embedding for row in found.data] == [vector("hello there, 日本")] * (1 + several)


def test_the_asynchronous_client(s: Scene) -> None:
    async def ask() -> list[list[float]]:
        async with openai.AsyncOpenAI(base_url=f"{s.url}/v1", api_key="any", max_retries=0) as sdk:
            asked = (sdk.embeddings.create(model="embed-local", input=f"text {n}") for n in range(4))
            return [answer.data[0].embedding for answer in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [vector(f"text {n}") for n in range(4)]


def test_a_prefix_that_steers_a_chat_is_plain_text_here(s: Scene) -> None:
    found = s.ask.embeddings.create(model="embed-local", input="[cloud] hello")
    assert found.data[0].embedding == vector("[cloud] hello")


TOKENS = bpe_openai.get_encoding("cl100k_base").encode_ordinary(f"pay {IBAN}")
HIDDEN = [
    pytest.param({"input": f"pay {IBAN}"}, id="text"),
    pytest.param({"input": [*["nothing here"] * 40, f"pay {IBAN}", "nor here"]}, id="in-a-batch"),
    pytest.param({"input": ["hello", IBAN[:11], IBAN[11:]]}, id="split"),
    pytest.param({"input": TOKENS}, id="tokens"),
    pytest.param({"input": [TOKENS]}, id="token-lists"),
    pytest.param({"user": f"pay {IBAN}"}, id="user"),
]


@pytest.mark.parametrize("body", HIDDEN)
def test_confidential_text_never_reaches_a_cloud_lane(s: Scene, body: dict[str, Any]) -> None:
    answer = post(s, {"x-pointsman-prefer": "cloud"}, **body)
    assert answer.status_code == 200
    assert answer.headers["x-pointsman-lane"] == "embed-local"
    assert answer.headers["x-pointsman-reason"] == "sensitivity_confidential"
    for model in ("embed-cloud", "big-embedder", "cloud/big-embedder"):
        refused = post(s, **({"model": model} | body))
        assert refused.status_code == 403
        assert refused.json()["error"]["code"] == "egress_denied"
        assert IBAN not in refused.text
    assert not s.cloud.received_bytes


def test_a_failing_model_is_not_replaced_by_another(s: Scene) -> None:
    answer = post(s, model="fake/500")
    assert answer.status_code in (502, 503)
    assert not s.local.requests
    assert [request.path for request in s.cloud.requests] == ["/v1/embeddings"]


@pytest.mark.parametrize("fault", ["vectors_missing", "vectors_uneven", "vectors_nan"])
def test_vectors_that_are_none_are_not_handed_on(s: Scene, fault: str) -> None:
    answer = post(s, model=fault, input=["one", "two"])
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "output_invalid"


def test_absurd_usage_does_not_break_the_answer(s: Scene) -> None:
    found = s.ask.embeddings.create(model="bad_usage", input="hello")
    assert found.usage.prompt_tokens == 0


def test_chat_and_embeddings_keep_to_their_lanes(s: Scene) -> None:
    refused = post(s, model="local-general")
    assert refused.status_code == 400
    assert "local-general: makes no embeddings" in refused.json()["error"]["message"]
    with pytest.raises(openai.BadRequestError, match="embed-local: makes embeddings only"):
        s.ask.chat.completions.create(model="embed-local", messages=[{"role": "user", "content": "hello"}])
    answer = s.ask.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "hello"}]
    )
    assert answer.headers["x-pointsman-lane"] == "local-general"
    names = {model.id for model in s.ask.models.list()}
    assert {"embed-local", "small-embedder", "cloud/big-embedder"} <= names


def test_without_a_lane_that_can_the_error_names_the_feature_and_the_lanes() -> None:
    with ThreadedUpstream() as up, serving(config(up.url, up.url)) as url, client(url) as sdk:
        with pytest.raises(openai.BadRequestError) as refused:
            sdk.embeddings.create(model="auto", input="hello")
        assert "embeddings" in refused.value.message
        assert "cloud-openai" in refused.value.message
        assert not up.requests


def test_a_long_batch_goes_where_its_longest_text_fits(s: Scene) -> None:
    text = "word " * 3000
    assert post(s, model="embed-local", input=[text] * 8).status_code == 200
    refused = post(s, model="embed-local", input=["short", text * 4])
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 3]}, "input[1]"),
        ({"input": [1, "a"]}, "input[1]"),
        ({"input": [1, True]}, "input[1]"),
        ({"input": [-1]}, "input[0]"),
        ({"input": [100_257]}, "input[0]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 10**9}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"model": "nobody"}, "model"),
    ],
)
def test_what_cannot_be_embedded_is_a_4xx_that_names_the_field(
    s: Scene, body: dict[str, Any], param: str
) -> None:
    answer = post(s, **body)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param
    assert not s.local.requests


def test_the_intent_comes_first_the_attempt_is_on_the_ledger_and_limits_refuse(tmp_path: Path) -> None:
    file, seen = tmp_path / "state.db", list[bool]()

    def look(window: bytes) -> bool:
        seen.append(bool(records(file, "intent")))
        return False

    with ThreadedUpstream() as local, ThreadedUpstream(look) as cloud:
        state = {"state": {"url": f"sqlite:///{file}"}, "audit": {"write_timeout_s": 60}}
        lanes = [lane("embed-cloud", cloud.url, "big-embedder", "global", price=PRICE)]
        with serving(with_lanes(local.url, cloud.url, *lanes, **state)) as url, client(url) as sdk:
            poor = {"x-pointsman-max-cost-usd": "0.000001"}
            with pytest.raises(openai.RateLimitError, match="limit of this request"):
                sdk.embeddings.create(model="auto", input="hello " * 100, extra_headers=poor)
            assert not cloud.requests
            raw = sdk.embeddings.with_raw_response.create(model="auto", input=["hello", "there"])
            wait_for(lambda: bool(records(file, "outcome")))
            [outcome], [intent] = records(file, "outcome"), records(file, "intent")
            wait_for(lambda: bool(attempts(f"sqlite:///{file}")))
            [attempt] = attempts(f"sqlite:///{file}")
            [request] = cloud.requests
    assert seen
    assert all(seen)
    assert intent["decision"] == outcome["decision"]
    assert (outcome["answered"]["lane"], outcome["cloud_egress"]) == ("embed-cloud", True)
    assert (attempt.input_tokens, attempt.output_tokens, attempt.certain) == (request.tokens_in, 0, True)
    assert attempt.cost == request.tokens_in * PRICE["input"]
    assert float(raw.headers["x-pointsman-cost-usd"]) == attempt.cost / 1e6


def test_what_cannot_be_recorded_stays_on_the_premises(tmp_path: Path) -> None:
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        lanes = [
            lane("embed-cloud", cloud.url, "one-model", "global", price=PRICE),
            lane("embed-local", local.url, "one-model"),
        ]
        (tmp_path / "no-folder").write_text("in the way")
        gone = {"state": {"url": f"sqlite:///{tmp_path / 'no-folder' / 'state.db'}"}}
        with serving(with_lanes(local.url, cloud.url, *lanes, **gone)) as url, client(url) as sdk:
            raw = sdk.embeddings.with_raw_response.create(model="one-model", input="hello")
            with pytest.raises(openai.InternalServerError) as refused:
                sdk.embeddings.create(model="embed-cloud", input="hello")
        assert not cloud.received_bytes
    assert raw.headers["x-pointsman-lane"] == "embed-local"
    assert refused.value.status_code == 503


def test_a_model_that_is_switched_off_is_not_replaced_by_another() -> None:
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        lanes = [
            lane("first", cloud.url, "one-model", "global", price=PRICE, enabled=False),
            lane("second", local.url, "another-model"),
        ]
        with serving(with_lanes(local.url, cloud.url, *lanes)) as url, client(url) as sdk:
            with pytest.raises(openai.InternalServerError, match="switched off"):
                sdk.embeddings.create(model="auto", input="hello")
            # What may not go to the first model at all is the second one's.
            found = sdk.embeddings.create(model="auto", input=f"pay {IBAN}")
            assert found.model == "another-model"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"kind": "anthropic"}, "only lanes of kind openai make them"),
        ({"name": "local-general"}, "defined twice"),
    ],
)
def test_a_wrong_lane_is_refused_at_load(more: dict[str, Any], words: str) -> None:
    nowhere = "http://127.0.0.1:9"
    with pytest.raises(ValueError, match=words):
        with_lanes(nowhere, nowhere, lane("embed", nowhere, "a-model") | more)


def test_a_rule_that_prefers_an_embedding_lane_is_refused_at_load() -> None:
    nowhere = "http://127.0.0.1:9"
    rule = {"name": "all", "prefer": ["embed"], "because": "a rule of this test"}
    with pytest.raises(ValueError, match="makes embeddings, which follow no rules"):
        with_lanes(nowhere, nowhere, lane("embed", nowhere, "a-model"), policy={"rules": [rule]})


def test_a_key_holds_its_lanes_its_choice_and_its_rate_here_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        lanes = [
            lane("embed-cloud", cloud.url, "big-embedder", "global", price=PRICE),
            lane("embed-local", local.url, "small-embedder"),
        ]
        with serving(with_lanes(local.url, cloud.url, *lanes, keys=desk.section)) as url:
            bound, fixed = desk.key(lanes=["embed-local"]), desk.key(name="fixed", overrides=False)
            slow = desk.key(name="slow", requests_per_minute=1)

            def ask(key: str, model: str = "auto") -> httpx2.Response:
                body, auth = {"model": model, "input": "hello"}, {"authorization": f"Bearer {key}"}
                return httpx2.post(
                    f"{url}/v1/embeddings", json=body, headers=auth, trust_env=False, timeout=60
                )

            assert ask(bound).headers["x-pointsman-lane"] == "embed-local"
            assert ask(bound, "big-embedder").status_code == 403
            assert [ask(fixed, model).status_code for model in ("auto", "small-embedder")] == [200, 403]
            assert [ask(slow).status_code for _ in range(2)] == [200, 429]
            assert ask("nobody").status_code == 401


def test_a_lane_of_embeddings_alone_makes_nobody_ready_who_also_chats() -> None:
    """The first chat after `ready` would find no lane."""
    with ThreadedUpstream() as upstream:
        raw = config(upstream.url, upstream.url).model_dump(mode="json")
        vectors = lane("embed", upstream.url, "small-embedder")
        off = [one | {"enabled": False} for one in raw["lanes"]]
        for lanes, status in (([*off, vectors], "unavailable"), ([*raw["lanes"], vectors], "ready")):
            with serving(Config.model_validate(raw | {"lanes": lanes})) as url:
                assert httpx2.get(f"{url}/readyz", trust_env=False, timeout=60).json()["status"] == status
