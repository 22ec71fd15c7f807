"""Chat requests that carry a made-up secret, disguised, split and hidden: the same one for the same number.

Knows bodies of requests. Does not send them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.support.disguises import ENCODINGS, disguises
from tests.support.secrets_made_up import Secret, secret

Body = dict[str, Any]
Hide = Callable[[Body, str], None]
Split = Callable[[Body, Sequence[str]], None]

SYLLABLES = ("ba", "do", "fi", "gu", "ka", "lo", "me", "nu", "pi", "ra", "se", "to", "vi", "zo", "he", "ju")
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}},
}
QUESTION = "What should I do with it?"


@dataclass(frozen=True, slots=True)
class Disguised:
    """One request. `canary` stands in it in plain letters; `how` says what was done, for a failure's message."""

    body: Body
    canary: str
    value: str
    how: str


def word(number: int) -> str:
    """An invented word of its own for every number below 16**5."""
    return "".join(SYLLABLES[(number >> 4 * at) & 15] for at in range(5))


def _user(body: Body, text: str) -> None:
    body["messages"][-1]["content"] = text


def _part(body: Body, text: str) -> None:
    body["messages"][-1]["content"] = [{"type": "text", "text": part} for part in ("Look:", text, QUESTION)]


def _message(role: str, body: Body, text: str) -> None:
    body["messages"].insert(1, {"role": role, "content": text})


def _refusal(body: Body, text: str) -> None:
    body["messages"].insert(1, {"role": "assistant", "content": None, "refusal": text})


def _refusal_part(body: Body, text: str) -> None:
    body["messages"].insert(1, {"role": "assistant", "content": [{"type": "refusal", "refusal": text}]})


def _prefill(body: Body, text: str) -> None:
    body["messages"].append({"role": "assistant", "content": text})


def _name(body: Body, text: str) -> None:
    body["messages"][-1]["name"] = text


def _user_id(body: Body, text: str) -> None:
    body["user"] = text


def _stop(body: Body, text: str) -> None:
    body["stop"] = [text, "END"]


def _tool_description(body: Body, text: str) -> None:
    body["tools"] = [{"type": "function", "function": TOOL["function"] | {"description": text}}]  # type: ignore[operator]


def _tool_schema(schema: Callable[[str], Body], body: Body, text: str) -> None:
    function = {"name": "look_up", "parameters": {"type": "object", "properties": {"x": schema(text)}}}
    body["tools"] = [{"type": "function", "function": function}]


def _tool_key(body: Body, text: str) -> None:
    parameters = {"type": "object", "properties": {text: {"type": "string"}}}
    body["tools"] = [{"type": "function", "function": {"name": "look_up", "parameters": parameters}}]


def _answer_schema(body: Body, text: str) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string", "description": text}}}
    body["response_format"] = {"type": "json_schema", "json_schema": {"name": "out", "schema": schema}}


def _arguments(body: Body, text: str) -> None:
    _split_calls(body, [text])


def _in_json(text: str) -> str:
    return json.dumps({"path": "notes.md", "content": f"x\n{text}\ny"})


def _result(body: Body, text: str) -> None:
    _split_results(body, [text])


HIDING: Mapping[str, Hide] = {
    "user": _user,
    "part": _part,
    "system": lambda body, text: _message("system", body, text),
    "developer": lambda body, text: _message("developer", body, text),
    "earlier-user": lambda body, text: _message("user", body, text),
    "assistant": lambda body, text: _message("assistant", body, text),
    "prefill": _prefill,
    "refusal": _refusal,
    "refusal-part": _refusal_part,
    "name": _name,
    "user-id": _user_id,
    "stop": _stop,
    "tool-description": _tool_description,
    "enum": lambda body, text: _tool_schema(lambda x: {"enum": [x]}, body, text),
    "default": lambda body, text: _tool_schema(lambda x: {"default": {"deep": [x]}}, body, text),
    "const": lambda body, text: _tool_schema(lambda x: {"const": x}, body, text),
    "examples": lambda body, text: _tool_schema(lambda x: {"examples": [x]}, body, text),
    "title": lambda body, text: _tool_schema(lambda x: {"title": x}, body, text),
    "property-name": _tool_key,
    "answer-schema": _answer_schema,
    "arguments": _arguments,
    "arguments-json": lambda body, text: _arguments(body, _in_json(text)),
    "arguments-json-twice": lambda body, text: _arguments(body, json.dumps({"call": _in_json(text)})),
    "tool-result": _result,
    "tool-result-json": lambda body, text: _result(body, _in_json(text)),
}
# What the wire allows; nothing longer would pass the parser.
MOST = {"name": 128, "user-id": 512, "stop": 1024}
# Fields that no lane gets: the value must not arrive, whatever its class.
DROPPED: Mapping[str, Hide] = {
    "metadata": lambda body, text: body.update(metadata={"note": text}),
    "prediction": lambda body, text: body.update(prediction={"type": "content", "content": text}),
    "unknown-field": lambda body, text: body.update(something_new={"deep": [[text]]}),
    "unknown-in-message": lambda body, text: body["messages"][-1].update(notes=text),
    "unknown-key": lambda body, text: body.update({text: 1}),
}


def _split_parts(body: Body, pieces: Sequence[str]) -> None:
    body["messages"][-1]["content"] = [{"type": "text", "text": piece} for piece in pieces]


def _split_messages(body: Body, pieces: Sequence[str]) -> None:
    body["messages"] += [{"role": "user", "content": piece} for piece in pieces]


def _split_turns(body: Body, pieces: Sequence[str]) -> None:
    for piece in pieces:
        body["messages"] += [{"role": "user", "content": piece}, {"role": "assistant", "content": "Go on."}]
    body["messages"].append({"role": "user", "content": QUESTION})


def _split_roles(body: Body, pieces: Sequence[str]) -> None:
    roles = ("user", "assistant")
    body["messages"] += [{"role": roles[i % 2], "content": piece} for i, piece in enumerate(pieces)]
    body["messages"].append({"role": "user", "content": QUESTION})


def _split_calls(body: Body, pieces: Sequence[str]) -> None:
    calls = [
        {"id": f"call_{i}", "type": "function", "function": {"name": "look_up", "arguments": piece}}
        for i, piece in enumerate(pieces)
    ]
    body["messages"].append({"role": "assistant", "content": None, "tool_calls": calls})
    body["messages"] += [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in calls]
    body["tools"] = [TOOL]


def _split_results(body: Body, pieces: Sequence[str]) -> None:
    call = {"type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    calls = [{"id": f"call_{i}"} | call for i, _ in enumerate(pieces)]
    body["messages"].append({"role": "assistant", "content": None, "tool_calls": calls})
    body["messages"] += [
        {"role": "tool", "tool_call_id": f"call_{i}", "content": piece} for i, piece in enumerate(pieces)
    ]
    body["tools"] = [TOOL]


SPLITS: Mapping[str, Split] = {
    "parts": _split_parts,
    "messages": _split_messages,
    "turns": _split_turns,
    "roles": _split_roles,
    "tool-calls": _split_calls,
    "tool-results": _split_results,
}


def empty(canary: str) -> Body:
    """A request without anything confidential, and its canary."""
    content = [{"role": "system", "content": f"Be brief. The word of the day is {canary}."}]
    return {"model": "auto", "messages": [*content, {"role": "user", "content": QUESTION}]}


def public(number: int) -> Disguised:
    """A harmless request: what shows that the way to the cloud is open."""
    canary = word(number)
    return Disguised(empty(canary), canary, canary, "public")


def confidential(number: int) -> Disguised:
    """The request of this number: one secret, written and placed in one of all the ways in turn."""
    random = Random(number)
    canary = word(number)
    body, hidden = empty(canary), secret(random)
    text, written = _written(random, hidden, number)
    encoded = written.startswith("as ")
    whole = text if encoded else f"{hidden.before}{text}{hidden.after}"
    if number % 3 == 0:
        place, split = random.choice(list(SPLITS.items()))
        split(body, _cut(random, text) if encoded else _cut(random, text, hidden.before, hidden.after))
    else:
        place, hide = random.choice(
            [item for item in HIDING.items() if len(whole) <= MOST.get(item[0], 10**6)]
        )
        hide(body, whole)
    return Disguised(body, canary, hidden.value, f"#{number}: {hidden.kind}, {written}, in {place}")


def _written(random: Random, hidden: Secret, turn: int) -> tuple[str, str]:
    """The value in another form, and the name of that form. Only encoding takes the sentence along."""
    value = hidden.value
    if turn % 4 == 0:
        names = random.sample(list(ENCODINGS), random.choice((1, 1, 2)))
        text = hidden.text
        for name in names:
            text = ENCODINGS[name](text)
        return text, f"as {' in '.join(reversed(names))}"
    if turn % 4 == 1 and turn % 8 != 1:
        return value, "plain"
    ways = list(disguises(hidden.digits))
    # Gaps and digits are changed before a text is escaped: afterwards there are none left to change.
    names = sorted(random.sample(ways, random.choice((1, 1, 2))), key=ways.index)
    for name in names:
        value = disguises(hidden.digits)[name](random, value)
    return value, " and ".join(names)


def _cut(random: Random, value: str, before: str = "", after: str = "") -> list[str]:
    """The sentence in two to four pieces; every cut goes through the value."""
    places = range(1, len(value))
    cuts = sorted(random.sample(places, min(len(places), random.randint(1, 3))))
    pieces = [value[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    return [before + pieces[0], *pieces[1:-1], pieces[-1] + after]
