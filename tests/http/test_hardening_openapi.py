"""Row I1: the OpenAPI document is true, and nothing that can be made from it breaks the ingress."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from serve.config import Config
from tests.http.conftest import Scene
from tests.http.test_embeddings import lane
from tests.support.nightly import cases
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

pytestmark = pytest.mark.timeout(cases(900, 4 * 3600))

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]
MESSAGES = ("messages", "count_tokens")
PATIENCE_S = 120  # schemathesis gives a busy machine 10
LANES = ["auto", "auto", "local-general", "local-tools", "cloud-openai", "cloud-anthropic"]
SHARES = {
    "chat": 0.62,
    "route": 0.38,
    "messages": 0.05,
    "count_tokens": 0.01,
    "models": 0.01,
    "model": 0.01,
    "healthz": 0.01,
    "readyz": 0.01,
}
SHARES |= {
    "reviews_page": 0.01,
    "reviews": 0.01,
    "review": 0.02,
    "approve_review": 0.02,
    "reject_review": 0.02,
    "feedback": 0.03,
    "stats": 0.01,
    "metrics": 0.01,
    "dashboard_page": 0.01,
    "dashboard": 0.01,
}
SHARES |= {
    "responses": 0.06,
    "response": 0.01,
    "delete_response": 0.01,
    "completions": 0.03,
    "embeddings": 0.02,
}
SHARES |= {"input_items": 0.01, "cancel_response": 0.01}
SECRET = {"model": "auto", "messages": [{"role": "user", "content": "My card is 4111 1111 1111 1111"}]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ExitStack() as stack:
        local, cloud = stack.enter_context(ThreadedUpstream()), stack.enter_context(ThreadedUpstream())
        plain = config(
            local.url,
            cloud.url,
            state={"url": f"sqlite:///{tmp_path_factory.mktemp('state')}/state.db"},
            reviews={"max_pending": 100_000, "max_pending_per_key": 100_000},
        )
        url = stack.enter_context(serving(_reviewed(plain, lane("embed-local", local.url, "ok"))))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


def _reviewed(plain: Config, more: dict[str, Any]) -> Config:
    """The same with a lane more, where answers to confidential data are held."""
    rule = {"name": "careful", "when": {"class_at_least": "confidential"}, "because": "the tests want it"}
    raw = plain.model_dump(mode="json")
    return Config.model_validate(
        raw | {"lanes": [*raw["lanes"], more], "policy": raw["policy"] | {"review": [rule]}}
    )


def held(scene: Scene, count: int) -> list[str]:
    """Ids of so many answers that wait for a reviewer."""
    url = f"{scene.url}/v1/chat/completions"
    return [httpx2.post(url, json=SECRET, timeout=30, trust_env=False).json()["id"] for _ in range(count)]


def kept(scene: Scene, count: int) -> list[str]:
    """Ids of so many responses that were kept."""
    ask = {"model": "auto", "input": "hello"}
    url = f"{scene.url}/v1/responses"
    return [httpx2.post(url, json=ask, timeout=30, trust_env=False).json()["id"] for _ in range(count)]


def operations(scene: Scene) -> dict[str, Any]:
    document = httpx2.get(f"{scene.url}/openapi.json", timeout=60).json()
    shapes = document["components"]["schemas"]
    for name in reachable("ChatRequest", shapes) - reachable("ChatCompletion", shapes):
        # Most of the time would go into unknown fields: tests/unit/test_hardening_fuzz.py has those.
        shapes[name].setdefault("additionalProperties", False)
    for path in document["paths"].values():
        for operation in path.values():
            # Whatever fits no checks is a 400 and no test of the body: tests/http/test_checks.py has those.
            mine = [one for one in operation.get("parameters", ()) if one["name"] != "x-pointsman-checks"]
            operation["parameters"] = mine
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=scene.url)
    found = {}
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        found[operation.definition.raw["operationId"]] = operation
    assert found.keys() == SHARES.keys()
    return found


def answered(scene: Scene) -> str:
    """The id of a decision that is over."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
    answer = httpx2.post(f"{scene.url}/v1/chat/completions", json=body, timeout=PATIENCE_S)
    assert answer.status_code == 200
    found: str = answer.headers["x-pointsman-decision-id"]
    return found


def reachable(name: str, shapes: dict[str, Any]) -> set[str]:
    found, todo = {name}, [name]
    while todo:
        for other in re.findall(r"#/components/schemas/(\w+)", json.dumps(shapes[todo.pop()])):
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


@pytest.mark.parametrize("name", SHARES)
def test_no_request_made_from_the_document_is_a_5xx_or_answered_outside_of_it(
    running: Scene, name: str
) -> None:
    """0 x 5xx in 2,000 cases (20,000 nightly), valid and invalid; every answer is a documented one."""
    operation = operations(running)[name]
    seen: dict[int, int] = {}
    examples = int(cases(2000, 20_000) * SHARES[name])
    waiting = held(running, examples) if "/reviews/{id}" in operation.path else []
    if "/responses/{id}" in operation.path:
        waiting = kept(running, examples)
    if name == "model":
        waiting = LANES * examples
    decision = answered(running) if name == "feedback" else ""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def holds(case: Any) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            # A made-up name is no lane of this configuration: the fuzz would end there.
            lanes = ("auto", "embed-local") if name == "embeddings" else LANES
            case.body["model"] = lanes[len(case.body["model"]) % len(lanes)]
        if waiting and sum(seen.values()) % 4:  # a made-up id is nobody's
            case.path_parameters["id"] = waiting.pop()
        if decision and sum(seen.values()) % 4 and isinstance(case.body, dict) and "decision_id" in case.body:
            case.body["decision_id"] = decision
        answer = case.call(timeout=PATIENCE_S)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        case.validate_response(answer, checks=CHECKS)

    holds()
    assert seen.get(400 if name == "cancel_response" else 200)


def test_every_status_of_the_document_is_an_error_of_ours_and_has_its_shape(running: Scene) -> None:
    document = httpx2.get(f"{running.url}/openapi.json", timeout=60).json()
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                assert response["description"]
                if status not in ("200", "202") and operation["operationId"] != "readyz":
                    shape = "MessagesErrorBody" if operation["operationId"] in MESSAGES else "ErrorBody"
                    assert response["content"]["application/json"]["schema"]["$ref"].endswith(f"/{shape}")
