"""`/metrics` over real HTTP: what is counted, who may see it, and the numbers of several Routers as one."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve.keys import credential
from serve.keys.entry import Grant, KeyEntry
from serve.keys.store import KeyStore
from serve.metrics.catalogue import CATALOGUE
from tests.http.conftest import Scene
from tests.http.test_outcomes import rows
from tests.http.test_reviews import POLICY, hold, until
from tests.support.databases import KINDS, database
from tests.support.memory import memory_folder
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

Start = Callable[..., Scene]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
PRICES = {"version": "tests", "lanes": {"cloud-openai": {"input": 1, "output": 10}}}


def call(url: str, key: str | None = None, **headers: str) -> httpx2.Response:
    more = headers | ({"authorization": f"Bearer {key}"} if key else {})
    return httpx2.get(f"{url}/metrics", headers=more, trust_env=False, timeout=60)


def scrape(url: str, key: str | None = None) -> Samples:
    answer = call(url, key)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(v for (n, found), v in samples.items() if n == name and labels.items() <= dict(found).items())


def ask(s: Scene, text: str = "What is a noun?", **more: Any) -> Any:
    return s.ask.chat.completions.create(
        model=more.pop("model", "auto"), messages=[{"role": "user", "content": text}], **more
    )


@pytest.fixture
def scene(scene: Start, tmp_path: Path) -> Start:
    """One with a database of its own: what others counted would count here as well."""
    return lambda **more: scene(**({"state": {"url": f"sqlite:///{tmp_path}/state.db"}} | more))


# --- counted ---------------------------------------------------------------------------------------------------


def test_a_request_is_counted_by_lane_outcome_reason_and_class(scene: Start) -> None:
    s = scene()
    ask(s)
    ask(s, model="cloud-openai")
    seen = scrape(s.url)
    labels = {"lane": "local-general", "outcome": "ok", "reason": "local_first", "class": "public"}
    assert total(seen, "pointsman_requests_total", **labels) == 1
    assert total(seen, "pointsman_answers_total", place="local") == 1
    assert total(seen, "pointsman_answers_total", place="cloud") == 1
    assert total(seen, "pointsman_attempts_total", lane="local-general", outcome="ok") == 1
    assert total(seen, "pointsman_overhead_seconds_count") == 2
    assert total(seen, "pointsman_answer_seconds_count", place="local") == 1
    for signal in ("context", "constraints", "sensitivity", "prescout"):
        assert total(seen, "pointsman_signal_seconds_count", signal=signal) == 2
    for stage in ("parse", "view", "signals", "policy", "audit", "hop", "upstream", "verdict", "serialise"):
        assert total(seen, "pointsman_stage_seconds_count", stage=stage) == 2
    assert total(seen, "pointsman_stage_seconds_count", stage="ledger") == 1
    assert total(seen, "pointsman_routers") == total(seen, "pointsman_metrics_merged") == 1


def test_a_stream_is_timed_until_a_lane_has_it_and_until_its_first_words(scene: Start) -> None:
    s = scene()
    list(
        s.ask.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "hello"}], stream=True
        )
    )
    seen = scrape(s.url)
    counts = {
        stage: total(seen, "pointsman_stage_seconds_count", stage=stage)
        for stage in ("hop", "upstream", "verdict", "serialise")
    }
    assert counts == {"hop": 1, "upstream": 1, "verdict": 0, "serialise": 0}


def test_a_fallback_is_counted_by_what_failed_first(scene: Start) -> None:
    s = scene(models={"local-general": "500"})
    ask(s)
    seen = scrape(s.url)
    assert total(seen, "pointsman_attempts_total", lane="local-general", outcome="unavailable") == 1
    assert total(seen, "pointsman_fallbacks_total", cause="unavailable") == 1
    assert total(seen, "pointsman_requests_total", outcome="ok") == 1


def test_cost_and_tokens_are_counted_and_what_the_cloud_would_have_taken(scene: Start) -> None:
    s = scene(prices=PRICES, outcomes={"baseline": "cloud-openai"})
    usage = [ask(s).usage, ask(s, model="cloud-openai").usage]
    seen = scrape(s.url)
    spent = usage[1].prompt_tokens + 10 * usage[1].completion_tokens
    alone = usage[0].prompt_tokens + 10 * usage[0].completion_tokens
    assert total(seen, "pointsman_cost_microusd_total", lane="cloud-openai") == spent
    assert total(seen, "pointsman_cost_microusd_total") == spent
    assert total(seen, "pointsman_always_cloud_microusd_total") == spent + alone
    tokens = total(seen, "pointsman_tokens_total", lane="local-general", kind="output")
    assert tokens == usage[0].completion_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_only_the_answer_that_was_taken_counts_for_always_cloud(
    scene: Start, tmp_path: Path, stream: bool
) -> None:
    """One that was refused has saved nobody anything: the number is the one of the report."""
    settings = {"prices": PRICES, "outcomes": {"baseline": "cloud-openai"}}
    s = scene(models={"local-general": "json_invalid"}, **settings)
    more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    answer = ask(s, response_format={"type": "json_object"}, **more)
    usage = list(answer)[-1].usage if stream else answer.usage
    cloud = usage.prompt_tokens + 10 * usage.completion_tokens
    until(lambda: total(scrape(s.url), "pointsman_always_cloud_microusd_total") > 0)
    seen = scrape(s.url)
    assert total(seen, "pointsman_validation_failures_total", lane="local-general") == 1
    assert total(seen, "pointsman_always_cloud_microusd_total") == cloud
    until(lambda: rows(tmp_path) != [])
    assert [row["baseline"] for row in rows(tmp_path)] == [cloud]


def test_a_stream_is_counted_when_it_begins_and_when_it_ends(scene: Start) -> None:
    s = scene()
    for _ in ask(s, stream=True):
        pass
    until(lambda: total(scrape(s.url), "pointsman_streams_total", lane="local-general", end="ok") == 1)
    seen = scrape(s.url)
    assert total(seen, "pointsman_first_token_seconds_count", place="local") == 1
    assert total(seen, "pointsman_answer_seconds_count") == 0


def test_the_cost_of_a_success_is_shown_by_task_tier_and_lane(scene: Start) -> None:
    s = scene(prices=PRICES, metrics={"cpst_every_s": 0.05})
    usage = [ask(s, f"What is noun {n}?", model="cloud-openai").usage for n in range(6)]
    ask(s)
    spent = sum(one.prompt_tokens + 10 * one.completion_tokens for one in usage) / 1e6
    until(lambda: total(scrape(s.url), "pointsman_decisions", by="total") == 7)
    seen = scrape(s.url)
    assert total(seen, "pointsman_cpst_usd", by="total") == pytest.approx(spent / 7)
    assert total(seen, "pointsman_cpst_usd", by="lane", group="cloud-openai") == pytest.approx(spent / 6)
    assert total(seen, "pointsman_cpst_usd", by="tier", group="1") == 0
    low, high = (total(seen, f"pointsman_cpst_{end}_usd", by="tier", group="2") for end in ("low", "high"))
    assert 0 < low <= spent / 6 <= high
    assert ("pointsman_cpst_low_usd", (("by", "tier"), ("group", "1"))) not in seen
    assert total(seen, "pointsman_successes", by="task") == 7
    assert not [labels for _, labels in seen if {("by", "key"), ("by", "session")} & set(labels)]


def test_the_cost_of_a_success_is_shown_by_key_and_session_where_that_is_configured(scene: Start) -> None:
    s = scene(prices=PRICES, metrics={"cpst_every_s": 0.05, "by_key": True, "by_session": True})
    for n in range(6):
        ask(s, f"What is noun {n}?", model="cloud-openai", extra_headers={"x-pointsman-session": "holiday"})
    ask(s)
    until(lambda: total(scrape(s.url), "pointsman_decisions", by="total") == 7)
    seen = scrape(s.url)
    assert total(seen, "pointsman_decisions", by="key") == 7
    assert total(seen, "pointsman_decisions", by="session") == 6
    low, high = (total(seen, f"pointsman_cpst_{end}_usd", by="session") for end in ("low", "high"))
    assert 0 < low <= total(seen, "pointsman_cpst_usd", by="session") <= high
    assert "holiday" not in str(seen)


@pytest.mark.parametrize("more", [{"metrics": {"cpst_every_s": 0}}, {"outcomes": {"enabled": False}}])
def test_a_cost_of_a_success_that_is_not_counted_is_not_shown(scene: Start, more: dict[str, Any]) -> None:
    s = scene(**more)
    ask(s)
    assert total(scrape(s.url), "pointsman_requests_total") == 1
    assert not [name for name, _ in scrape(s.url) if name.startswith("pointsman_cpst")]


def test_what_a_budget_forbids_is_counted(scene: Start) -> None:
    s = scene(prices=PRICES, budgets={"total": {"day": 0}})
    with pytest.raises(openai.RateLimitError):
        ask(s, model="cloud-openai")
    seen = scrape(s.url)
    assert total(seen, "pointsman_refusals_total", code="insufficient_quota") == 1


def test_an_error_is_counted_by_its_code_once(scene: Start) -> None:
    s = scene(models={"local-general": "500", "local-tools": "500"})
    with pytest.raises(openai.NotFoundError):
        ask(s, model="no-such-model")
    with pytest.raises(openai.InternalServerError):
        ask(s, "My card is 4111 1111 1111 1111")
    seen = scrape(s.url)
    assert total(seen, "pointsman_refusals_total") == 2
    assert total(seen, "pointsman_refusals_total", code="model_not_found") == 1
    assert total(seen, "pointsman_requests_total", lane="none", outcome="no_lane_available") == 1


def test_reviews_that_wait_are_counted(scene: Start) -> None:
    s = scene(policy=POLICY)
    hold(s)
    assert total(scrape(s.url), "pointsman_reviews_waiting") == 1


def test_no_word_of_a_request_and_no_key_name_is_shown(scene: Start) -> None:
    s = scene()
    ask(s, "heliotrope@example.com wrote about quicksilver")
    text = call(s.url).text
    assert not [word for word in ("heliotrope", "quicksilver", "anonymous") if word in text]


def test_key_names_are_shown_where_that_is_configured(scene: Start) -> None:
    s = scene(metrics={"by_key": True})
    ask(s)
    assert total(scrape(s.url), "pointsman_key_requests_total", key="anonymous") == 1


def test_every_lane_has_its_gauges_and_its_zeros_before_the_first_request(scene: Start) -> None:
    seen = scrape(scene().url)
    for name in ("pointsman_in_flight", "pointsman_lane_ready", "pointsman_spills_total"):
        assert {dict(labels)["lane"] for found, labels in seen if found == name} == {
            "local-general",
            "local-tools",
            "cloud-openai",
            "cloud-anthropic",
        }
    assert total(seen, "pointsman_ledger_up") == total(seen, "pointsman_audit_up") == 1
    refused = [labels for found, labels in seen if found == "pointsman_refusals_total"]
    assert [dict(labels)["code"] for labels in refused] == [
        "insufficient_quota"
    ]  # an alert looks at its increase


def test_every_metric_of_the_catalogue_is_announced(scene: Start) -> None:
    text = call(scene().url).text
    assert [metric.name for metric in CATALOGUE if f"# HELP {metric.name} " not in text] == []


# --- who may see it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scopes", "status"), [([], 403), (["reviewer"], 403), (["metrics"], 200), (["admin"], 200)]
)
def test_where_keys_are_required_a_scope_is_needed(
    scene: Start, tmp_path: Path, scopes: list[str], status: int
) -> None:
    url = f"sqlite:///{tmp_path}/keys.db"
    public, key, sha256 = credential.mint()
    grant = Grant.model_validate({"scopes": scopes})
    KeyStore(url).add(KeyEntry(id=public, name="prometheus", sha256=sha256, grant=grant))
    s = scene(keys={"mode": "required", "url": url})
    assert call(s.url).status_code == 401
    assert call(s.url, key).status_code == status


def test_in_open_mode_a_page_that_renamed_itself_to_this_machine_reads_nothing(scene: Start) -> None:
    assert call(scene().url, host="evil.example").status_code == 403


# --- all Routers as one ----------------------------------------------------------------------------------------


@pytest.fixture
def upstreams() -> Iterator[tuple[str, str]]:
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        yield local.url, cloud.url


@pytest.mark.parametrize("kind", KINDS)
def test_two_routers_are_one_to_whoever_asks_either_and_what_ended_still_counts(
    upstreams: tuple[str, str], kind: str
) -> None:
    with memory_folder() as folder, database(kind, folder) as url, ExitStack() as stack:
        settings = config(*upstreams, state={"url": url}, metrics={"share_s": 0.1})
        one = stack.enter_context(serving(settings))
        inner = stack.enter_context(ExitStack())
        two = inner.enter_context(serving(settings))
        for router, number in ((one, 2), (two, 3)):
            for _ in range(number):
                with client(router) as sdk:
                    sdk.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hi"}])

        def both() -> bool:
            seen = [scrape(router) for router in (one, two)]
            return all(
                total(s, "pointsman_requests_total") == 5 and total(s, "pointsman_routers") == 2 for s in seen
            )

        until(both)
        inner.close()
        assert total(scrape(one), "pointsman_requests_total") == 5
        with serving(settings) as three:
            until(lambda: total(scrape(three), "pointsman_requests_total") == 5)


def test_scrapes_of_changing_routers_never_go_back(upstreams: tuple[str, str], tmp_path: Path) -> None:
    settings = config(*upstreams, state={"url": f"sqlite:///{tmp_path}/s.db"}, metrics={"share_s": 5})
    with serving(settings) as one, serving(settings) as two, client(one) as sdk:
        seen = list[float]()
        for number in range(12):
            sdk.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hi"}])
            seen.append(total(scrape((one, two)[number % 2]), "pointsman_requests_total"))
    assert seen == sorted(seen)
    assert seen[-2] == 11


def test_without_the_database_the_own_numbers_are_shown_and_it_says_so(scene: Start, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("no folder")
    s = scene(state={"url": f"sqlite:///{tmp_path}/folder/state.db"})
    with suppress(openai.APIStatusError):
        ask(s, "My card is 4111 1111 1111 1111")
    seen = scrape(s.url)
    assert total(seen, "pointsman_metrics_merged") == 0
    assert total(seen, "pointsman_requests_total") == 1
    until(lambda: total(scrape(s.url), "pointsman_audit_up") == 0)
    assert total(scrape(s.url), "pointsman_audit_write_failures_total") > 0


def test_the_log_of_a_decision_names_it(scene: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pointsman.decision")
    s = scene()
    answer = s.ask.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "quicksilver"}]
    )
    (line,) = [r.getMessage() for r in caplog.records if r.name == "pointsman.decision"]
    told = json.loads(line.partition(" ")[2])
    assert told["decision_id"] == answer.headers["x-pointsman-decision-id"]
    assert "quicksilver" not in line
    (record,) = [r for r in caplog.records if r.name == "pointsman.decision"]
    assert vars(record)["decision_id"] == told["decision_id"]  # a field of its own in Serve's JSON
