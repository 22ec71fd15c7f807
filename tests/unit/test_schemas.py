"""JSON Schemas of strangers: broken ones are named, remote ones are never fetched, none stalls the router."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from serve import schemas
from serve.errors import InvalidRequest
from serve.wire.openai_chat import ChatRequest, parse

ROOT = Path(__file__).parents[2]
HUNG_S = 10


def asked(tool: Any = None, answer: Any = None) -> ChatRequest:
    raw: dict[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "x"}]}
    if tool is not None:
        functions = [{"name": "fine", "parameters": {"type": "object"}}, {"name": "f", "parameters": tool}]
        raw["tools"] = [{"type": "function", "function": function} for function in functions]
    if answer is not None:
        raw["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": answer}}
    return parse(json.dumps(raw).encode())


def refusals(schema: Any) -> list[InvalidRequest]:
    """How the schema is refused as a tool's and as the answer's."""
    errors = []
    for request in (asked(tool=schema), asked(answer=schema)):
        with pytest.raises(InvalidRequest) as error:
            schemas.check(request)
        errors.append(error.value)
    return errors


BROKEN = [
    pytest.param({"type": 5}, id="type-a-number"),
    pytest.param({"type": "xyzzy"}, id="unknown-type"),
    pytest.param({"properties": []}, id="properties-a-list"),
    pytest.param({"required": "a"}, id="required-a-string"),
    pytest.param({"properties": {"a": {"minLength": -1}}}, id="deep-inside"),
    pytest.param({"pattern": "("}, id="broken-pattern"),
    pytest.param({"pattern": "(?=a)b"}, id="a-pattern-that-must-backtrack"),
    pytest.param({"pattern": "(a{1000}){1000}"}, id="a-pattern-that-explodes"),
    pytest.param({"$ref": "#/$defs/absent"}, id="ref-to-nothing"),
    pytest.param({"$ref": "file:///etc/passwd"}, id="ref-to-a-file"),
    pytest.param({"$schema": "xyzzy:unknown"}, id="unknown-dialect"),
]


@pytest.mark.parametrize("schema", BROKEN)
def test_a_broken_schema_is_refused_by_its_field(schema: Any) -> None:
    tool, answer = refusals(schema)
    assert (tool.status, tool.code, tool.param) == (400, "invalid_request", "tools[1].function.parameters")
    assert (answer.code, answer.param) == ("invalid_request", "response_format.json_schema.schema")
    assert "xyzzy" not in tool.message + answer.message


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({}, id="empty"),
        pytest.param({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {}}}, id="local-ref"),
        pytest.param({"type": "string", "pattern": "^[a-z]+$", "format": "email"}, id="pattern-and-format"),
        pytest.param({"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}, id="draft-7"),
        pytest.param({"$ref": "#"}, id="itself"),
        pytest.param({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
                     id="a-circle"),
    ],
)  # fmt: skip
def test_a_sound_schema_is_accepted_and_can_be_used(schema: Any) -> None:
    schemas.check(asked(tool=schema, answer=schema))
    schemas.compiled(schema).is_valid({"a": 1})


def test_a_request_without_schemas_passes() -> None:
    schemas.check(asked())


# Nothing is fetched.


@dataclass(slots=True)
class Trap:
    """A listener that counts who comes."""

    port: int
    visits: list[bytes] = field(default_factory=list)


@contextmanager
def trap() -> Iterator[Trap]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Trap(server.getsockname()[1])
        thread = threading.Thread(target=_count, args=(server, made), daemon=True)
        thread.start()
        yield made
        with socket.create_connection(("127.0.0.1", made.port)) as last:
            last.sendall(b"end")
        thread.join()
        assert made.visits.pop() == b"end"


def _count(server: socket.socket, made: Trap) -> None:
    while not made.visits or made.visits[-1] != b"end":
        visitor, _ = server.accept()
        with visitor:
            made.visits.append(visitor.recv(3))


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"$ref": "URL"}, id="ref"),
        pytest.param({"properties": {"a": {"$ref": "URL#/a"}}}, id="ref-inside"),
        pytest.param({"$dynamicRef": "URL"}, id="dynamic-ref"),
        pytest.param({"$schema": "URL"}, id="schema"),
        pytest.param({"$id": "URL", "$ref": "other.json"}, id="ref-relative-to-id"),
    ],
)
def test_a_remote_document_is_refused_and_never_fetched(schema: Any) -> None:
    with trap() as listening:
        url = f"http://127.0.0.1:{listening.port}/x"
        refusals(json.loads(json.dumps(schema).replace("URL", url)))
    assert listening.visits == []


def test_the_trap_does_see_a_visit() -> None:
    with trap() as listening, socket.create_connection(("127.0.0.1", listening.port)) as visit:
        visit.sendall(b"GET")
    assert listening.visits == [b"GET"]


# Nothing stalls. A watchdog and not a measurement: these either end at once or not within a lifetime.


def ends(code: str) -> str:
    """What `code` prints in a process of its own."""
    ask = "import json, sys\nfrom serve import repair, schemas\n" + code
    process = [sys.executable, "-c", ask]
    done = subprocess.run(process, cwd=ROOT, capture_output=True, text=True, timeout=HUNG_S, check=True)
    return done.stdout.strip()


def test_a_backtracking_pattern_does_not_hang() -> None:
    code = 'print(schemas.compiled({"pattern": "^(a+)+$"}).is_valid("a" * 100_000 + "b"))'
    assert ends(code) == "False"


def doubling(levels: int) -> dict[str, Any]:
    """A schema that names the next level twice on every level."""
    levels_ = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(levels)}
    return {"$defs": levels_ | {f"a{levels}": {"type": "object"}}, "$ref": "#/$defs/a0"}


def test_a_schema_of_references_that_double_is_no_harm_while_it_is_small() -> None:
    validator = schemas.compiled(doubling(8))
    assert validator.is_valid({})
    assert not validator.is_valid([])


def test_a_schema_of_references_that_double_is_refused_or_ends() -> None:
    raw = json.dumps(doubling(50))
    ends(
        f"schema = json.loads({raw!r})\n"
        "try:\n    validator = schemas.compiled(schema)\n"
        "except ValueError:\n    sys.exit()\n"
        "print(validator.is_valid({}))"
    )


def disguised(form: str) -> dict[str, Any]:
    """`doubling` in which references are written in another way that validators follow."""
    made = doubling(40)
    levels_ = made["$defs"]
    for i in range(41):
        levels_[f"a{i}"] |= {"$id": f"http://x.example/{i}"} if form == "own-id" else {}
        levels_[f"a{i}"] |= {"$anchor": f"x{i}"} if form == "anchor" else {}
    text = json.dumps(made)
    match form:
        case "dynamic":
            text = text.replace('"$ref"', '"$dynamicRef"')
        case "escaped":
            text = text.replace("#/$defs", "#/%24defs")
        case "absolute":
            text = json.dumps(json.loads(text) | {"$id": "http://x.example/z"})
            text = text.replace('"#/$defs', '"http://x.example/z#/$defs')
        case "own-id" | "anchor":
            text = text.replace("#/$defs/a", "http://x.example/" if form == "own-id" else "#x")
    assert text != json.dumps(made) or form == "plain"
    changed: dict[str, Any] = json.loads(text)
    return changed


FORMS = [
    "plain",
    *(pytest.param(form) for form in ("dynamic", "escaped", "absolute", "own-id")),
]


@pytest.mark.parametrize("form", [*FORMS, pytest.param("anchor")])
def test_references_that_double_are_refused_however_they_are_written(form: str) -> None:
    with pytest.raises(ValueError, match="references"):
        schemas.compiled(disguised(form))


def test_ten_degenerate_answers_of_ordinary_length_do_not_stall_the_router() -> None:
    ends("for _ in range(10):\n    try: repair.parsed('{\"' * 9_999)\n    except repair.Unreadable: pass")


@pytest.mark.parametrize("text", ['"```" + "a" * 190_000', "'{\"' * 95_000"], ids=["fence", "braces"])
def test_a_degenerate_answer_does_not_stall_the_router(text: str) -> None:
    assert ends(f"try: repair.parsed({text})\nexcept repair.Unreadable: print('unreadable')") == "unreadable"


def test_a_broken_schema_raises_a_value_error_for_the_verdict_to_see() -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        schemas.compiled({"type": 5})


def test_a_name_that_the_client_chose_is_not_repeated() -> None:
    """A property may be named after a customer: the place is told by the words of JSON Schema."""
    for error in refusals({"type": "object", "properties": {"anna-svensson": {"type": "whole"}}}):
        assert "at properties/*/type, " in error.message
        assert "anna" not in error.message
