"""Rows of `bfcl_*` folders as what the product sees: a chat request with tools, and a lane's answer to it.

Knows the schemas of the sets. Judges and measures nothing.
"""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from bench.quality.cases import DataUnreadable
from serve.wire.openai_answer import AnswerMessage, ChatCompletion, Choice
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_messages import FunctionCall, ToolCall

Row = Mapping[str, Any]
Call = tuple[str, dict[str, JsonValue]]
Gold = tuple[tuple[str, Mapping[str, Any]], ...]

_KINDS = {
    "object": "dict Dict HashMap Hashtable Map map object",
    "array": "array Array ArrayList list List tuple Tuple Set set Queue Stack",
    "number": "float Float double Double number",
    "integer": "integer int Integer long Long short byte bigint Bigint",
    "string": "string String str char Char",
    "boolean": "boolean Boolean bool",
    "null": "null",
}
_JSON_TYPE = {word: kind for kind, words in _KINDS.items() for word in words.split()}
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Question:
    """One task: what was asked, the tools as JSON Schema, and the calls that are right (empty: no tool applies).

    about: what the set says each tool does, by name.
    """

    id: str
    category: str
    messages: list[dict[str, str]]
    tools: dict[str, dict[str, JsonValue]]
    gold: Gold
    about: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Output:
    """What one model answered. `valid` and `error` are the upstream checker's words, None where it has none."""

    set: str
    model: str
    question: str
    raw: Any
    valid: bool | None
    error: str | None


def questions(data: Path) -> dict[str, Question]:
    """Every single-turn task under `data`, by id. Raises DataUnreadable."""
    found = {}
    for _, path, row in _rows_under(data):
        if "function" in row and "ground_truth" in row and "output" not in row:
            try:
                found[str(row["id"])] = _question(row)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise DataUnreadable(f"{path}: {type(error).__name__}: {error}") from error
    return found


def outputs(data: Path, known: Mapping[str, Question]) -> list[Output]:
    """The answers under `data` to questions that have gold calls. Raises DataUnreadable when there is none."""
    found = [
        Output(folder, str(row["model"]), str(row["id"]), row["output"], row.get("valid"), row.get("error_type"))
        for folder, _, row in _rows_under(data)
        if "output" in row and "model" in row and row.get("id") in known and known[row["id"]].gold
    ]  # fmt: skip
    if not found:
        raise DataUnreadable(
            f"{data} holds no outputs to replay: no rows with id, model and output "
            "whose id has a question with function and ground_truth."
        )
    return found


def underscored(known: Mapping[str, Question], of_model: list[Output]) -> bool:
    """The model was offered `a_b` where the set says `a.b`: what it wrote says which."""
    seen: Counter[bool] = Counter()
    for output in of_model:
        text = json.dumps(output.raw)
        for name in known[output.question].tools:
            if "." in name:
                seen[True] += name.replace(".", "_") in text
                seen[False] += name in text
    return seen[True] > seen[False]


def renamed(question: Question) -> Question:
    """The question with the names of its tools as APIs take them that refuse a dot."""
    tools = {name.replace(".", "_"): schema for name, schema in question.tools.items()}
    gold = tuple((name.replace(".", "_"), arguments) for name, arguments in question.gold)
    about = {name.replace(".", "_"): text for name, text in question.about.items()}
    return Question(question.id, question.category, question.messages, tools, gold, about)


def request(question: Question) -> ChatRequest:
    """The request a client would have sent: a call is demanded, for the sets say that one applies."""
    return ChatRequest.model_validate(
        {
            "model": "auto",
            "messages": question.messages,
            "tools": [
                {"type": "function", "function": {"name": name, "parameters": schema}}
                for name, schema in question.tools.items()
            ],
            "tool_choice": "required",
        }
    )


def answer(raw: Any) -> ChatCompletion:
    """The answer as a lane would give it: native calls where the model gave some, text otherwise."""
    calls = native(raw)
    texts = [str(one) for one in raw if not isinstance(one, dict)] if isinstance(raw, list) else [str(raw)]
    content = "\n".join(texts) or None
    choice = Choice(
        message=AnswerMessage(content=content, tool_calls=calls or None),
        finish_reason="tool_calls" if calls else "stop",
    )
    return ChatCompletion(id="x", created=0, model="m", choices=[choice])


def native(raw: Any) -> list[ToolCall]:
    """The calls of a model that gives [{name: arguments}, ...], perhaps with text between; empty for text."""
    items = raw if isinstance(raw, list) else []
    pairs = [(name, value) for item in items if isinstance(item, dict) for name, value in item.items()]
    return [
        ToolCall(
            id=f"c{i}",
            function=FunctionCall(
                name=name, arguments=value if isinstance(value, str) else json.dumps(value)
            ),
        )
        for i, (name, value) in enumerate(pairs)
    ]


def _question(row: Row) -> Question:
    functions = row["function"] if isinstance(row["function"], list) else [row["function"]]
    turns = row["question"]
    messages = turns[0] if turns and isinstance(turns[0], list) else turns
    asked = [{"role": m.get("role", "user"), "content": str(m["content"])} for m in messages]
    named = "java" in str(row["category"]).lower()
    tools = {_name(f["name"]): _top(f.get("parameters") or {}, named) for f in functions}
    gold = tuple((_name(n), args) for call in row["ground_truth"] or () for n, args in call.items())
    usable = [m if m["role"] in ("system", "user") else m | {"role": "user"} for m in asked]
    about = {_name(f["name"]): str(f.get("description", "")) for f in functions}
    return Question(str(row["id"]), str(row["category"]), usable, tools, gold, about)


def _name(name: str) -> str:
    return _NOT_A_NAME.sub("_", name)


def _top(parameters: Mapping[str, Any], named: bool) -> dict[str, JsonValue]:
    """A function takes the arguments it lists and no others, which JSON Schema has to be told.

    `named`: in Java and JavaScript tasks an argument may be the name of a variable, whatever its type.
    """
    made = json_schema(parameters) | {"type": "object", "additionalProperties": False}
    if named and isinstance(properties := made.get("properties"), dict):
        made["properties"] = {name: _or_variable(schema) for name, schema in properties.items()}
    return made


def _or_variable(schema: JsonValue) -> JsonValue:
    if not isinstance(schema, dict) or schema.get("type") in (None, "string"):
        return schema
    name: dict[str, JsonValue] = {
        "type": "string",
        "pattern": r"^[A-Za-z_$][A-Za-z0-9_$.]*$",
        "not": {"pattern": "^([Tt]rue|[Ff]alse|null|None)$"},
    }
    return {"anyOf": [schema, name]}


def json_schema(node: Mapping[str, Any]) -> dict[str, JsonValue]:
    """The set's Python-like types in the words of JSON Schema. `any`, and what is unknown, asks for nothing."""
    made: dict[str, JsonValue] = {}
    kind = _JSON_TYPE.get(str(node.get("type")))
    if kind:
        made["type"] = kind
    if isinstance(properties := node.get("properties"), dict):
        made["properties"] = {name: json_schema(sub) for name, sub in properties.items()}
        required = node.get("required")
        made["required"] = [n for n in required if n in properties] if isinstance(required, list) else []
    if isinstance(items := node.get("items"), dict):
        made["items"] = json_schema(items)
    if isinstance(choices := node.get("enum"), list) and choices:
        made["enum"] = choices
    if isinstance(said := node.get("description"), str):
        made["description"] = said
    return made


def _rows_under(data: Path) -> Iterator[tuple[str, Path, Row]]:
    if not data.is_dir():
        raise DataUnreadable(f"{data} is not a folder. Give --data a folder that holds bfcl_* sets.")
    folders = sorted(entry for entry in data.iterdir() if entry.is_dir() and entry.name.startswith("bfcl_"))
    for folder in folders or [data]:
        for path in sorted(folder.iterdir()):
            if path.name.endswith((".jsonl", ".jsonl.gz")):
                yield from ((folder.name, path, row) for row in _rows(path))


def _rows(path: Path) -> Iterator[Row]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for number, line in enumerate(raw.splitlines(), 1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise DataUnreadable(f"{path}, line {number} is not a JSON object")
                yield row
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataUnreadable(f"{path} cannot be read: {error}") from error
