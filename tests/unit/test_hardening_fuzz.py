"""Rows I2, I4, I5, I11, M2 and M3: the path from bytes to decision, and back, under whatever strangers write.

One rule for all of it: a request, or an HttpError that does not repeat what was sent; never another exception.
"""

import json
import random
from collections.abc import Callable
from typing import Any

import bpe_openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.scout.prescout import PreScout
from serve import policy, schemas, verdict, wish
from serve.bounds import Bounds
from serve.dispatch import body_of
from serve.errors import HttpError, InvalidRequest
from serve.keys.rights import Rights
from serve.lanes.load import LaneLoad
from serve.request import string_leaves, view_of
from serve.signals import constraints, context, scout, sensitivity
from serve.signals.readings import Signals
from serve.signals.task import settle
from serve.wire import anthropic_messages
from serve.wire.openai_answer import completion
from serve.wire.openai_chat import ChatRequest, parse
from tests.support.nightly import cases
from tests.support.serving import config

pytestmark = pytest.mark.timeout(cases(900, 4 * 3600))

CANARY = "xyzzy-canary"
CONFIG = config("http://127.0.0.1:1", "http://127.0.0.1:2")
STATES = LaneLoad(CONFIG).states()
PRESCOUT = PreScout.load()
FIELDS = {field.alias or name for name, field in ChatRequest.model_fields.items()}

BASE: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": "Answer in exactly three words."},
        {"role": "user", "content": [
            {"type": "text", "text": "[cloud] Write to anna@example.com"},
            {"type": "image_url", "image_url": {"url": "https://a.example/x.png", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "42"}]},
        {"role": "user", "content": "and now?", "name": "anna"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": True, "parameters": {
        "type": "object", "properties": {"a": {"type": "integer", "minimum": 0}, "b": {"$ref": "#/$defs/b"}},
        "required": ["a"], "$defs": {"b": {"type": "string", "pattern": "^[a-z]+$"}}}}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": [1, "a", None]}}},
    "stop": ["a", "b"], "n": 2, "logprobs": True, "top_logprobs": 3, "max_tokens": 100, "temperature": 0.5,
    "stream": True, "stream_options": {"include_usage": True}, "user": "u", "seed": 1,
}  # fmt: skip
ODD: list[Any] = [
    None, True, 0, -1, 1, 9, 2**31, 2**63, -(2**63) - 1, 10**30, 1.5, 1e308, "", "a", CANARY, "\x00", "\ud83d\ude00",
    "\u202e\u200b", "[cloud]", "auto", "local-general", "cloud-anthropic", "user", "assistant", "tool", "text",
    "image_url", "data:image/png;base64,AA==", "#", "#/", "#/$defs/b", "#/$defs/~0~1", "(", "(a+)+$", "1" * 400,
    [], {}, [[]], [{}], {"": ""}, {"$ref": "#"}, {"type": "object"}, {"not": {}}, {"type": [None]}, {"enum": []},
    {"role": "user", "content": "x"}, {"type": "text", "text": ""}, "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ=",
    "4111 1111 1111 1111", "=?", "\\u0061", "&#x41;", "%41%42", "\u0661\u0662\u0663", "e\u0301", "\U000e0041",
]  # fmt: skip
TOKENS = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud800", b"NaN", b"1e400", b"-Infinity", b"\x00",
          b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"9" * 400, b"null", b"//", b"\n", b"'", b"{}" * 50]  # fmt: skip


def whole_path(raw: bytes) -> None:
    """Everything that happens to a body before a lane is called. Raises HttpError only, and says nothing of it."""
    try:
        request, wanted = wish.read(parse(raw), {}, CONFIG, Rights())
        schemas.check(request)
        view = view_of(request)
        first = scout.prejudge(PRESCOUT, view)
        signals = Signals(
            context=context.read(view),
            constraints=constraints.read(view),
            sensitivity=sensitivity.read(view),
            scout=first[0],
            task=settle(view, first[1]),
        )
        policy.decide(signals, view, wanted, STATES, CONFIG)
    except HttpError as error:
        refusal_is_sound(error)
        return
    sent = json.loads(body_of(request))
    assert list(view.leaves) == list(string_leaves(sent)), "what was scanned is not what is sent"
    assert sent.keys() <= FIELDS
    assert (request.n or 1) <= 8
    assert (request.output_limit or 1) <= 1_000_000
    assert signals.context.input_tokens >= 0
    json.dumps(anthropic_messages.request(request, "m", 100), allow_nan=False, ensure_ascii=False).encode()


def refusal_is_sound(error: HttpError) -> None:
    assert 400 <= error.status < 500
    assert CANARY not in error.message.replace(f"model '{CANARY}", "")
    json.dumps(error.body()).encode()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in [(*path, key), *places(item, (*path, key))]]


def mutate(tree: Any, chance: random.Random) -> None:
    """One change somewhere in the tree."""
    path = chance.choice(places(tree) or [()])
    if not path:
        return
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    odd = json.loads(json.dumps(chance.choice(ODD)))
    match chance.randrange(7):
        case 0:
            del parent[path[-1]]
        case 1:
            parent[path[-1]] = [parent[path[-1]]]
        case 2:
            parent[path[-1]] = {chance.choice([CANARY, "type", "$ref", "content", ""]): parent[path[-1]]}
        case 3 if isinstance(parent, dict):
            parent[
                chance.choice([CANARY, "pattern", "items", "$ref", "refusal", "functions", "", "\x00"])
            ] = odd
        case 4 if isinstance(parent, list):
            parent.extend([parent[path[-1]], odd])
        case 5 if isinstance(parent[path[-1]], str):
            parent[path[-1]] += str(odd) * chance.choice([1, 1, 50])
        case _:
            parent[path[-1]] = odd


@settings(max_examples=cases(1500, 60_000), deadline=None)
@given(seed=st.integers(0, 2**48), count=st.integers(0, 6))
def test_a_mutated_request_is_decided_or_refused_and_nothing_else(seed: int, count: int) -> None:
    """I2: 0 uncaught over changes of one valid request that uses every field."""
    tree = json.loads(json.dumps(BASE))
    chance = random.Random(seed)
    for _ in range(count):
        mutate(tree, chance)
    whole_path(json.dumps(tree).encode())


@settings(max_examples=cases(1500, 60_000), deadline=None)
@given(seed=st.integers(0, 2**48), count=st.integers(1, 4))
def test_mutated_bytes_are_decided_or_refused_and_nothing_else(seed: int, count: int) -> None:
    """I2, I5: 0 uncaught over cut, doubled, flipped and spliced bytes of the same request."""
    chance = random.Random(seed)
    raw = bytearray(json.dumps(BASE, ensure_ascii=chance.random() < 0.5).encode())
    for _ in range(count):
        at, to = sorted(chance.choices(range(len(raw) + 1), k=2))
        to = min(to, at + chance.choice([0, 1, 20]))
        match chance.randrange(4):
            case 0:
                del raw[at:to]
            case 1:
                raw[at:at] = raw[at:to] * chance.choice([1, 2, 20])
            case 2:
                raw[at:to] = chance.choice(TOKENS)
            case _ if raw:
                raw[at % len(raw)] ^= 1 << chance.randrange(8)
    whole_path(bytes(raw))


JSONISH = st.recursive(
    st.sampled_from(ODD) | st.text(max_size=20) | st.floats(allow_nan=True),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*FIELDS, "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=cases(300, 20_000), deadline=None)
@given(changes=st.dictionaries(st.sampled_from(sorted(FIELDS)), JSONISH, max_size=4))
def test_a_field_may_hold_anything(changes: dict[str, Any]) -> None:
    """I2: 0 uncaught with JSON of any shape in any field."""
    whole_path(
        json.dumps({"model": "auto", "messages": [{"role": "user", "content": "x"}]} | changes).encode()
    )


# I4: shapes without measure. Each is refused by the limit's own name, or by the parser, at once.


def asked(content: str = '"x"', more: str = "") -> bytes:
    return b'{"model": "auto", "messages": [{"role": "user", "content": %s}]%s}' % (
        content.encode(),
        more.encode(),
    )


def deep(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + closing * levels


@pytest.mark.parametrize("levels", [101, 200, 1000, 100_000, 1_000_000])
@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda text: text.encode(), id="the-body"),
        pytest.param(lambda text: asked(text), id="content"),
        pytest.param(lambda text: asked(more=f', "unknown": {text}'), id="a-field-we-drop"),
        pytest.param(lambda text: asked(more=f', "tools": [{text}]'), id="a-tool"),
    ],
)
def test_depth_is_refused_by_the_name_of_its_limit(levels: int, place: Callable[[str], bytes]) -> None:
    for text in (deep(levels), '{"a":' * levels + "1" + "}" * levels, "[" * levels):
        with pytest.raises(InvalidRequest, match=r"server\.max_(depth|values)"):
            parse(place(text))


COUNTS = [
    pytest.param(b'{"model": "a", "messages": [' + b"{}," * 150_000 + b"{}]}", "max_values", id="empty-messages"),
    pytest.param(asked("[" + "{}," * 1_000_000 + "{}]"), "max_values", id="a-million-parts"),
    pytest.param(asked("[" + '"",' * 1_000_000 + '""]'), "max_values", id="a-million-strings"),
    pytest.param(asked(more=', "x": {' + '"a":1,' * 1_000_000 + '"a":1}'), "max_values", id="a-million-keys"),
    pytest.param(asked("[" + '{"type":"text","text":""},' * 10_000 + '{"type":"text","text":""}]'), "max_parts",
                 id="10001-parts"),
    pytest.param(b'{"model": "a", "messages": [' + b'{"role":"user","content":"x"},' * 10_000
                 + b'{"role":"user","content":"x"}]}', "max_messages", id="10001-messages"),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "limit"), COUNTS)
def test_numbers_of_things_are_refused_by_the_name_of_their_limit(raw: bytes, limit: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"server\.{limit}") as error:
        parse(raw)
    assert error.value.status == 400


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "0." + "9" * 5000, "1e" + "9" * 5000])
@pytest.mark.parametrize("field", ["n", "seed", "max_tokens", "temperature", "unknown"])
def test_a_number_of_5000_digits_is_refused_or_dropped(number: str, field: str) -> None:
    whole_path(asked(more=f', "{field}": {number}'))


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(asked('"' + "[{," * 100_000 + '"'), id="brackets-in-a-string"),
        pytest.param(asked('"' + r"\"[{,\\" * 100_000 + '"'), id="escapes-in-a-string"),
        pytest.param(asked(json.dumps("\\" * 100_001 + '"[' * 300)), id="backslashes"),
        pytest.param(asked(deep(1, "[" + '{"type":"text","text":"[[["},' * 9_998 + '{"type":"text","text":"x"}')),
                     id="as-many-parts-as-allowed"),
    ],
)  # fmt: skip
def test_what_stands_in_strings_is_no_shape(raw: bytes) -> None:
    assert parse(raw).messages


@settings(max_examples=cases(200, 10_000), deadline=None)
@given(value=JSONISH)
def test_the_count_before_parsing_agrees_with_a_parser(value: Any) -> None:
    """Depth and values as counted in the text are those of the tree: no body slips through or is wronged."""
    text = json.dumps(value).encode()

    def depth(item: Any) -> int:
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        return int(isinstance(item, dict | list)) + max(map(depth, inner), default=0)

    def accepts(bounds: Bounds) -> bool:
        try:
            parse(text, bounds)
        except InvalidRequest as error:
            return not error.code.startswith("body_too")
        return True

    found = depth(value)
    assert accepts(Bounds(depth=max(found, 0)))
    assert found == 0 or not accepts(Bounds(depth=found - 1))


# M2: counting and judging without end.

LONG = ["a" * 1_000_000, "\U0001f600" * 250_000, "\u4e2d\u6587" * 200_000, " " * 1_000_000, "\n" * 500_000,
        "a\u0301" * 200_000, "1" * 1_000_001, "", "\x00", "=" * 300_000, "The quick brown fox. " * 20_000,
        "\U000e0041" * 200_000]  # fmt: skip


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_tokens_are_never_counted_short(text: str) -> None:
    """Sliced or not, a count is at most 5% below the exact one; the library itself refuses such lengths."""
    short = text[: 45_000 * 2]  # two slices, and for the library still one text
    exact = len(bpe_openai.get_encoding("o200k_base").encode_ordinary(short[:45_000])) * 2
    assert context.count(short) >= exact * 0.95 - 1 or len(short) < 90_000
    assert context.count(text) >= context.count(short) * (len(text) / max(1, len(short))) * 0.95 - 1


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_a_prompt_of_any_length_is_judged(text: str) -> None:
    """Three probabilities that are some, and the same ones again: a repeated text is no special case."""
    reading, task = PRESCOUT.score(text)
    assert reading.trivial + reading.standard + reading.complex == pytest.approx(1, abs=1e-3)
    assert 0 <= reading.confidence <= 1
    assert PRESCOUT.score(text) == (reading, task)


# M3: what models write.

FRAGMENTS = [
    "{", "}", "[", "]", '"', ":", ",", "'", "\\", "\\u", "\\ud800", "NaN", "Infinity", "1e400", "null", "None", "True",
    '{"a": 1}', '{"a": "1"}', '{"name": "f", "arguments": {"a": 1}}', "<tool_call>", "</tool_call>", "```json\n", "```",
    "f(a=1)", "__import__('os').system('touch OWNED')", "{{7*7}}", "${jndi:ldap://127.0.0.1/a}", "\x00", "\ud83d\ude00",
    "9" * 400, "{" * 200, "[" * 200, '{"a":' * 200, "<think>", "</think>", "f", "a", "b", " ", "\n",
]  # fmt: skip


def judged(arguments: str | None, content: str | None) -> str:
    request = parse(json.dumps(BASE | {"n": 1}).encode())
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    message = {"role": "assistant", "content": content} | (
        {"tool_calls": calls} if arguments is not None else {}
    )
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    document = {"id": "1", "created": 1, "model": "m", "choices": choices}
    outcome = verdict.judge(request, completion("lane", json.dumps(document)))
    if outcome.outcome != "invalid":
        for choice in outcome.answer.choices:
            for call in choice.message.tool_calls or ():
                assert isinstance(json.loads(call.function.arguments)["a"], int)
    return outcome.outcome


@settings(max_examples=cases(500, 20_000), deadline=None)
@given(parts=st.lists(st.sampled_from(FRAGMENTS), max_size=8), as_call=st.booleans())
def test_whatever_a_model_writes_is_judged_and_never_run(parts: list[str], as_call: bool) -> None:
    """0 crashes; what passes has the arguments that the schema demands; no text is evaluated."""
    text = "".join(parts)
    judged(text if as_call else None, None if as_call else text)


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 300 + "1" + "}" * 300, "[" * 100_000, '{"a":' * 100_000, '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
     "__import__('os')._exit(1)", '{"a": ' + "9" * 5000 + "}", '{"a": __import__("os")._exit(1)}', '{"a": NaN}',
     "(" * 100_000],
    ids=range(9),
)  # fmt: skip
def test_arguments_as_weapons_are_invalid(text: str) -> None:
    assert judged(text, None) == "invalid"
    assert judged(None, text) == "invalid"
