"""What is asked: a small built-in mix, or the `prompt` field of a JSON Lines file. Sends nothing."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Body = dict[str, Any]


class PromptsUnreadable(Exception):
    """The message names the file, the line and the fault."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request body without model, stream and limit, and the kind of work it stands for."""

    kind: str
    body: Body


def built_in() -> tuple[Prompt, ...]:
    """Twelve prompts; kinds alternate, so that any run of four has one of each."""
    kinds = {
        "trivial": [_ask(text) for text in TRIVIAL],
        "tools": [_ask(text) | {"tools": [WEATHER], "tool_choice": "required"} for text in CITIES],
        "structured": [_ask(text) | {"response_format": PERSON} for text in PEOPLE],
        "long": [_ask(f"Which line of this log reports a failure?\n\n{_log(bad)}") for bad in (17, 61, 88)],
    }
    return tuple(Prompt(kind, bodies[turn]) for turn in range(3) for kind, bodies in kinds.items())


def read(path: Path) -> tuple[Prompt, ...]:
    """The prompts of a .jsonl or .jsonl.gz file. Raises PromptsUnreadable."""
    try:
        raw = path.read_bytes()
        lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise PromptsUnreadable(f"{path}: {error}") from error
    prompts = tuple(Prompt("file", _ask(text)) for text in _texts(path, lines))
    if not prompts:
        raise PromptsUnreadable(f"{path}: no prompts in it")
    return prompts


def _texts(path: Path, lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            text = json.loads(line)["prompt"]
        except (ValueError, KeyError, TypeError):
            text = None
        if not isinstance(text, str) or not text:
            raise PromptsUnreadable(f'{path}:{number}: not a JSON object with a text field "prompt"')
        yield text


def _ask(text: str) -> Body:
    return {"messages": [{"role": "user", "content": text}]}


def _log(bad: int) -> str:
    lines = [f"worker-{n % 7} finished batch {n} in {n % 9 + 3} ms" for n in range(100)]
    lines[bad] = f"worker-{bad % 7} gave up on batch {bad}: disk full"
    return "\n".join(lines)


TRIVIAL = (
    "What is the capital of France?",
    "Write the word 'hello' in capital letters.",
    "Name one primary colour.",
)
CITIES = (
    "What will the weather be in Oslo over the next two days?",
    "Do I need an umbrella in Lima tomorrow?",
    "Weather in Nairobi for the coming three days, please.",
)
PEOPLE = (
    "Extract the person: Ada, aged 36, wrote the first program.",
    "Extract the person: at 41, Grace found the moth in the relay.",
    "Extract the person: Alan turned 24 in the year of his famous paper.",
)
WEATHER: Body = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}
PERSON: Body = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
            "additionalProperties": False,
        },
    },
}
