"""Money over real HTTP: the ledger against what the provider counted, limits, and what the official SDK makes of them.

Rows B4, B5, B6, B7, B8, S7 and S9.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.http.conftest import Scene
from tests.http.test_outcomes import rows, until
from tests.support.answers import UNSEEN
from tests.support.nightly import cases
from tests.support.rawclient import OPENAI, connect, encode
from tests.support.spending import attempts, books
from tests.support.upstream import ThreadedUpstream

CLOUD = {"x-pointsman-prefer": "cloud"}
CHEAP, DEAR = {"input": 1.0, "output": 2.0}, {"input": 3.0, "output": 15.0}
PRICES = {"version": "test", "lanes": {"cloud-openai": CHEAP, "cloud-anthropic": DEAR}}
MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
WITHIN = 30.0

Start = Callable[..., Scene]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def priced(scene: Start, url: str) -> Start:
    """The scene with prices and a ledger of its own."""

    def start(models: dict[str, str] | None = None, **changes: Any) -> Scene:
        return scene(models=models, **{"state": {"url": url}, "prices": PRICES} | changes)

    return start


def ask(scene: Scene, headers: dict[str, str] = CLOUD, **more: Any) -> Any:
    """The raw answer of the official client."""
    body: dict[str, Any] = {"model": "auto", "messages": MESSAGES, "max_tokens": 50, "extra_headers": headers}
    return scene.ask.chat.completions.with_raw_response.create(**body | more)


def cost(tokens_in: int, tokens_out: int, price: dict[str, float]) -> float:
    return tokens_in * price["input"] + tokens_out * price["output"]


def true_cost(upstream: ThreadedUpstream) -> float:
    """Micro-dollars of every token that the provider took and gave, also for answers nobody read."""
    prices = {"/v1/chat/completions": CHEAP, "/v1/messages": DEAR}
    done = [r for r in upstream.requests if r.tokens_out or r.outcome != "answered"]
    return sum(cost(r.tokens_in, r.tokens_out, prices[r.path]) for r in done)


def wait_settled(url: str) -> None:
    until = time.monotonic() + WITHIN
    while books(url).open:
        assert time.monotonic() < until, "a reservation is still open"
        time.sleep(0.02)


@pytest.mark.parametrize(("lane", "price"), [("cloud-openai", CHEAP), ("cloud-anthropic", DEAR)])
def test_the_cost_of_an_answer_is_told_and_is_what_the_provider_counted(
    priced: Start, url: str, lane: str, price: dict[str, float]
) -> None:
    """B4: the ledger and the provider agree to the token."""
    scene = priced()
    told = float(ask(scene, model=lane).headers["x-pointsman-cost-usd"])
    (seen,) = scene.cloud.requests
    assert told * 1e6 == pytest.approx(cost(seen.tokens_in, seen.tokens_out, price), abs=1)
    wait_settled(url)
    (row,) = attempts(url)
    assert (row.lane, row.input_tokens, row.output_tokens) == (lane, seen.tokens_in, seen.tokens_out)
    assert (row.certain, row.prices, row.outcome) == (True, "test", "ok")
    assert books(url).spent == books(url).attempts == row.cost


def test_what_a_provider_counts_in_the_total_alone_is_paid_and_told(
    priced: Start, url: str, tmp_path: Path
) -> None:
    """What a model thought, which some count nowhere else; `max_tokens` does not hold for it."""
    scene = priced({"cloud-openai": "unseen_usage"})
    told = float(ask(scene, model="cloud-openai").headers["x-pointsman-cost-usd"])
    (seen,) = scene.cloud.requests
    given = seen.tokens_out + UNSEEN
    assert told * 1e6 == pytest.approx(cost(seen.tokens_in, given, CHEAP), abs=1)
    wait_settled(url)
    (row,) = attempts(url)
    assert (row.input_tokens, row.output_tokens, row.certain) == (seen.tokens_in, given, True)
    until(lambda: rows(tmp_path) != [])
    assert [decision["output_tokens"] for decision in rows(tmp_path)] == [given]


@pytest.mark.parametrize("stream", [False, True])
def test_input_that_is_told_at_the_end_of_a_stream_is_what_is_charged(
    priced: Start, url: str, stream: bool
) -> None:
    scene = priced({"cloud-anthropic": "late_usage"})
    answer = ask(scene, model="cloud-anthropic", stream=stream)
    if stream:
        list(answer.parse())
    wait_settled(url)
    (seen,), (row,) = scene.cloud.requests, attempts(url)
    assert (row.input_tokens, row.output_tokens, row.certain) == (seen.tokens_in, seen.tokens_out, True)


@pytest.mark.parametrize("usage", [True, False])
def test_a_stream_tells_its_cost_and_official_clients_do_not_mind(priced: Start, usage: bool) -> None:
    """Where usage was asked for its chunk carries the cost; a comment, which decoders skip, always does."""
    scene = priced()
    options = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(
        scene.ask.chat.completions.create(
            model="auto", messages=MESSAGES, stream=True, extra_headers=CLOUD, **options
        )  # type: ignore[call-overload]
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).startswith("upstream")
    assert [bool(c.choices) for c in chunks] == [True] * (len(chunks) - usage) + [False] * usage
    (seen,) = scene.cloud.requests
    true = cost(seen.tokens_in, seen.tokens_out, CHEAP) / 1e6
    if usage:
        assert chunks[-1].x_pointsman["cost_usd"] == pytest.approx(true, abs=1e-6)
    body = {"model": "auto", "messages": MESSAGES, "stream": True} | options
    lines = httpx2.post(
        f"{scene.url}/v1/chat/completions", json=body, headers=CLOUD, timeout=60
    ).text.splitlines()
    said = [line for line in lines if line.startswith(": x-pointsman-cost-usd ")]
    assert [float(line.split()[-1]) for line in said] == [pytest.approx(true, abs=1e-6)]
    assert lines[-2] == "data: [DONE]"


def test_what_no_provider_bills_costs_nothing_and_reaches_no_database(priced: Start, url: str) -> None:
    scene = priced(prices=PRICES | {"unlisted": None})
    assert ask(scene, {}).headers["x-pointsman-cost-usd"] == "0.000000"
    assert not scene.cloud.requests
    assert attempts(url) == []


def test_our_own_hardware_is_shown_and_never_charged_to_a_budget(priced: Start, url: str) -> None:
    local = {"local-general": {"usd_per_hour": 36, "tokens_per_second": 1}}
    scene = priced(prices=PRICES | {"local": local}, budgets={"total": {"day": 0}})
    assert float(ask(scene, {}).headers["x-pointsman-cost-usd"]) > 0
    until = time.monotonic() + WITHIN
    while not (rows := attempts(url)):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert [(row.lane, row.billed) for row in rows] == [("local-general", False)]
    assert books(url).spent == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["500", "429", "hang", "err_in_stream_3", "bad_json", "die_before_first"])
def test_every_attempt_of_a_fallback_is_counted(priced: Start, url: str, fault: str, stream: bool) -> None:
    """B4: an error status is not billed, and whatever may have been is counted at its worst."""
    limits = {"first_token_s": 2, "unary_s": 2, "idle_s": 2, "deadline_s": 30}
    scene = priced({"cloud-openai": fault}, dispatch=limits)
    try:
        answer = ask(scene, stream=stream)
        if stream:
            list(answer.parse())
    except openai.APIError:
        assert stream, "a stream may break after its first word; nothing else may fail"
    wait_settled(url)
    assert books(url).spent == books(url).attempts >= true_cost(scene.cloud)
    lanes = {row.lane: row for row in attempts(url)}
    if fault in ("500", "429"):
        assert set(lanes) == {"cloud-anthropic"}
    elif fault in ("hang", "bad_json"):
        assert lanes["cloud-openai"].cost >= 50 * CHEAP["output"]
        assert not lanes["cloud-openai"].certain


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("lane", ["cloud-openai", "cloud-anthropic"])
@pytest.mark.parametrize("fault", ["bad_usage", "nan_usage", "no_usage"])
def test_usage_that_is_missing_or_absurd_leaves_the_worst_case(
    priced: Start, url: str, fault: str, lane: str, stream: bool
) -> None:
    """S9: never less than the truth, and never more than what was reserved."""
    scene = priced({lane: fault})
    answer = ask(scene, model=lane, stream=stream)
    if stream:
        list(answer.parse())
    wait_settled(url)
    (row,) = attempts(url)
    assert (row.certain, row.output_tokens) == (False, 50)
    assert row.cost >= true_cost(scene.cloud) > 0


def test_both_legs_of_a_hedge_are_counted(priced: Start, url: str) -> None:
    models = {"cloud-openai": "slow_first_60000", "cloud-anthropic": "ok"}
    scene = priced(models, dispatch={"hedge_after_s": 0.1})
    list(ask(scene, stream=True).parse())
    wait_settled(url)
    assert {row.lane: row.certain for row in attempts(url)} == {
        "cloud-openai": False,
        "cloud-anthropic": True,
    }
    assert books(url).spent >= true_cost(scene.cloud)


@pytest.mark.parametrize(
    ("fault", "stream"), [("slow_first_600000", True), ("hang", False), ("slow_chunks_50+long_6000", True)]
)
def test_clients_that_leave_hold_no_money(priced: Start, url: str, fault: str, stream: bool) -> None:
    """S7: however early they leave, no reservation stays, and nobody is charged less than was made for them."""
    scene = priced({"cloud-openai": fault})
    body = {"model": "cloud-openai", "stream": stream, "messages": MESSAGES, "max_tokens": 5000}
    rounds, each, true = cases(3, 15), 23, 0.0
    for _ in range(rounds):
        scene.cloud.clear()
        sockets = [connect(scene.url) for _ in range(each)]
        for sock in sockets:
            sock.sendall(encode(OPENAI, body, {"content-type": "application/json"}))
        scene.cloud.wait_until(lambda: len(scene.cloud.requests) == each, WITHIN)
        for sock in sockets:
            if "chunks" in fault:
                assert sock.recv(1), "the answer has begun"
            sock.close()
        scene.cloud.wait_until(lambda: all(r.outcome != "pending" for r in scene.cloud.requests), WITHIN)
        true += true_cost(scene.cloud)
    wait_settled(url)
    found = books(url)
    assert (found.reserved, found.spent) == (0, found.attempts)
    rows = attempts(url)
    assert len(rows) == rounds * each
    assert found.spent >= true
    if "chunks" in fault:
        assert all(row.output_tokens < 5000 for row in rows), "settled by what came, not by the worst case"


def test_a_used_up_budget_is_refused_once_and_said_plainly(priced: Start) -> None:
    """B7: the official client with its default retries makes one attempt, and gets OpenAI's own error."""
    scene = priced(budgets={"key": {"day": 0.000001}})
    seen: list[Any] = []
    http = httpx2.Client(event_hooks={"request": [seen.append]}, timeout=60)
    eager = openai.OpenAI(base_url=f"{scene.url}/v1", api_key="any", http_client=http)
    with eager, pytest.raises(openai.RateLimitError) as caught:
        eager.chat.completions.create(model="cloud-openai", messages=MESSAGES, max_tokens=50)
    assert len(seen) == 1
    assert caught.value.code == "insufficient_quota"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert "the budget of key anonymous" in caught.value.message
    assert not scene.cloud.requests


def test_without_money_the_local_lanes_answer(priced: Start) -> None:
    """At 100 % local only, and the decision says so."""
    scene = priced(budgets={"total": {"month": 0}})
    answer = ask(scene)
    assert answer.headers["x-pointsman-lane"].startswith("local")
    decision = httpx2.post(
        f"{scene.url}/v1/route", json={"model": "auto", "messages": MESSAGES}, timeout=60
    ).json()
    assert {item["code"] for item in decision["excluded"]} == {"budget"}
    assert "budget_downgrade" in {reason["code"] for reason in decision["reasons"]}
    assert not scene.cloud.requests


def test_near_the_limit_cheaper_lanes_come_first(priced: Start) -> None:
    """From 85 % on even a wish for the cloud goes to what costs less, as long as that can answer."""
    one = 0.00024  # about what 50 tokens out and some in may cost at most
    scene = priced(budgets={"key": {"month": one}})
    assert ask(scene).headers["x-pointsman-lane"] == "cloud-openai"
    until = time.monotonic() + WITHIN
    while ask(scene).headers["x-pointsman-lane"] == "cloud-openai":
        assert time.monotonic() < until, "the budget is never near its end"


def test_attacks_on_the_judge_cannot_spend_more_than_the_budget(priced: Start, url: str) -> None:
    """B8: whatever a prompt does to the decision, the sum stays below the limit; then the local lanes answer."""
    limit = 0.002
    scene = priced(budgets={"total": {"day": limit}})
    with ThreadPoolExecutor(8) as pool:
        lanes = list(pool.map(lambda _: ask(scene).headers["x-pointsman-lane"], range(cases(60, 300))))
    wait_settled(url)
    assert 0 < true_cost(scene.cloud) <= books(url).spent <= limit * 1e6
    assert {lane.partition("-")[0] for lane in lanes} == {"cloud", "local"}


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("0", 429),
        ("0.0000001", 429),
        ("5", 200),
        ("-1", 400),
        ("NaN", 400),
        ("1e99", 400),
        ("1,2", 400),
        ("", 400),
    ],
)
def test_a_request_may_lower_its_own_limit(priced: Start, header: str, status: int) -> None:
    scene = priced(budgets={"request": 0.01})
    body = {"model": "cloud-openai", "messages": MESSAGES, "max_tokens": 50}
    answer = httpx2.post(
        f"{scene.url}/v1/chat/completions",
        json=body,
        headers={"x-pointsman-max-cost-usd": header},
        timeout=60,
    )
    assert answer.status_code == status, answer.text
    assert len(scene.cloud.requests) == (status == 200)


def test_a_request_may_not_raise_its_limit(priced: Start) -> None:
    scene = priced(budgets={"request": 0})
    with pytest.raises(openai.RateLimitError):
        ask(scene, {"x-pointsman-max-cost-usd": "100"}, model="cloud-openai")
    assert not scene.cloud.requests


def test_each_session_has_a_budget_of_its_own(priced: Start) -> None:
    scene = priced(budgets={"session": 0.0003})

    def spent(session: str) -> int:
        body = {"model": "cloud-openai", "messages": MESSAGES, "max_tokens": 50}
        for asked in range(50):
            headers = {"x-pointsman-session": session}
            answer = httpx2.post(f"{scene.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
            if answer.status_code != 200:
                assert "the budget of this session" in answer.json()["error"]["message"]
                return asked
        raise AssertionError("the session's budget has no end")

    assert spent("one") == spent("two") > 0


def test_a_ledger_that_is_down_stops_the_cloud_and_nothing_else(priced: Start, tmp_path: Path) -> None:
    """B6: 0 requests at the provider, every request answered here, and /readyz says why."""
    (tmp_path / "no-folder").write_text("")
    scene = priced(state={"url": f"sqlite:///{tmp_path / 'no-folder' / 'state.db'}"})
    lanes = {ask(scene).headers["x-pointsman-lane"] for _ in range(20)}
    assert lanes == {"local-general"}
    with pytest.raises(openai.InternalServerError) as caught:
        ask(scene, model="cloud-openai")
    assert (caught.value.status_code, caught.value.code) == (503, "ledger_unavailable")
    assert not scene.cloud.requests
    ledger = httpx2.get(f"{scene.url}/readyz", timeout=60).json()["ledger"]
    assert (ledger["state"], bool(ledger["note"])) == ("down", True)


def test_readyz_says_that_the_ledger_is_up(priced: Start) -> None:
    scene = priced()
    ask(scene)
    assert httpx2.get(f"{scene.url}/readyz", timeout=60).json()["ledger"] == {"state": "up", "note": None}


def test_one_idempotency_key_is_answered_once_at_a_time(priced: Start) -> None:
    """B5: while the first is being answered the provider sees no second call; afterwards the key works again."""
    scene = priced({"cloud-openai": "slow_chunks_100"})
    named = CLOUD | {"idempotency-key": "order-7"}
    stream = ask(scene, named, stream=True).parse()
    next(stream)
    with pytest.raises(openai.ConflictError) as caught:
        ask(scene, named)
    assert caught.value.code == "idempotency_key_in_use"
    assert len(scene.cloud.requests) == 1
    assert (
        ask(scene, CLOUD | {"idempotency-key": "order-8", "x-pointsman-prefer": "tier3"}).status_code == 200
    )
    list(stream)
    until = time.monotonic() + WITHIN
    body = {"model": "auto", "messages": MESSAGES}
    while (
        httpx2.post(f"{scene.url}/v1/chat/completions", json=body, headers=named, timeout=60).status_code
        != 200
    ):
        assert time.monotonic() < until


def test_cached_input_costs_less_where_the_provider_says_so() -> None:
    from serve.wire.anthropic_answer import completion, message
    from serve.wire.openai_answer import Usage

    raw = {
        "id": "m", "model": "c", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 5, "output_tokens": 2, "cache_read_input_tokens": 90,
                  "cache_creation_input_tokens": 5},
    }  # fmt: skip
    usage = completion(message(json.dumps(raw))).usage
    openai_shape = {
        "prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102,
        "prompt_tokens_details": {"cached_tokens": 90, "cache_write_tokens": 5, "audio_tokens": 0},
    }  # fmt: skip
    assert usage == Usage.model_validate(openai_shape)
