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

from tests.http.conftest import Scene
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
PATIENCE_S = 120  # schemathesis gives a busy machine 10
LANES = ["auto", "auto", "local-general", "local-tools", "cloud-openai", "cloud-anthropic"]
SHARES = {"chat": 0.62, "route": 0.38, "models": 0.01, "healthz": 0.01, "readyz": 0.01}


@pytest.fixture(scope="module")
def running() -> Iterator[Scene]:
    with ExitStack() as stack:
        local, cloud = stack.enter_context(ThreadedUpstream()), stack.enter_context(ThreadedUpstream())
        url = stack.enter_context(serving(config(local.url, cloud.url)))
        yield Scene(url, stack.enter_context(client(url)), local, cloud)


def operations(scene: Scene) -> dict[str, Any]:
    document = httpx2.get(f"{scene.url}/openapi.json").json()
    shapes = document["components"]["schemas"]
    for name in reachable("ChatRequest", shapes) - reachable("ChatCompletion", shapes):
        # Most of the time would go into unknown fields: tests/unit/test_hardening_fuzz.py has those.
        shapes[name].setdefault("additionalProperties", False)
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=scene.url)
    found = {}
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        found[operation.definition.raw["operationId"]] = operation
    assert found.keys() == SHARES.keys()
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

    @settings(
        max_examples=int(cases(2000, 20_000) * SHARES[name]),
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
            case.body["model"] = LANES[len(case.body["model"]) % len(LANES)]
        answer = case.call(timeout=PATIENCE_S)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        case.validate_response(answer, checks=CHECKS)

    holds()
    assert seen.get(200)


def test_every_status_of_the_document_is_an_error_of_ours_and_has_its_shape(running: Scene) -> None:
    document = httpx2.get(f"{running.url}/openapi.json").json()
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                assert response["description"]
                if status != "200" and operation["operationId"] != "readyz":
                    assert response["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")
