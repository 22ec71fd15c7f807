"""How many tool calls a model writes rightly at 4 bits and at 8: `python -m bench.gpu_tools`.

Asks for nested arguments, greedily and without guided decoding, and counts two things in the raw text: brackets that
do not close, and calls that the tool's own schema accepts. No verdict, no repair: those are what the difference is for.
"""

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
from rich.console import Console
from rich.table import Table

from bench import report
from bench.gpu_weights import DTYPES, Weights, weights
from models import store

CLOSES = {"}": "{", "]": "["}
CITIES = ("Turku", "Tampere", "Oulu", "Lahti", "Vaasa", "Kuopio", "Pori", "Kemi", "Rauma", "Kotka")
ITEM = {
    "type": "object",
    "properties": {
        "sku": {"type": "string"},
        "quantity": {"type": "integer", "minimum": 1},
        "options": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["sku", "quantity", "options"],
}
ARGUMENTS = {
    "type": "object",
    "properties": {
        "customer": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "express": {"type": "boolean"}},
            "required": ["city", "express"],
        },
        "items": {"type": "array", "items": ITEM, "minItems": 2},
    },
    "required": ["customer", "items"],
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "place_order", "description": "Order goods.", "parameters": ARGUMENTS},
}
FORM = 'Answer with one JSON object {"name": "place_order", "arguments": {...}} and nothing else.'


def main(arguments: list[str] | None = None) -> None:
    """Ask every question at every number of bits. Exit status 2 for what cannot be loaded here."""
    given = _parser().parse_args(arguments)
    started, begin = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    folder = Path(given.model) if Path(given.model).is_dir() else store.path(given.model)
    rows: list[dict[str, Any]] = []
    for bits in given.bits:
        try:
            loaded = weights(folder, bits, given.device, causal=True)
        except (ValueError, ImportError, RuntimeError) as error:
            sys.exit(f"{bits} bits on {given.device}: {error}")
        texts = [
            answered(loaded, folder, question, given.max_tokens) for question in questions(given.questions)
        ]
        rows.append(counted(texts) | {"bits": bits, "dtype": DTYPES[bits], "memory_mib": loaded.memory_mib})
        del loaded  # two of them need not fit at once
    result = {
        **report.origin(sys.argv, started, time.perf_counter() - begin),
        "model": folder.name if given.model == str(folder) else given.model,
        "device": given.device,
        "rows": rows,
    }
    report.save(given.json, result)
    Console().print(_table(rows))


def questions(count: int) -> list[str]:
    """Orders with two to five lines each; always the same ones."""
    found = []
    for number in range(count):
        lines = [
            f"{number % 7 + line} of article A-{number * 10 + line} in {'red' if line % 2 else 'blue, gift-wrapped'}"
            for line in range(1, 3 + number % 4)
        ]
        express = "as an express delivery" if number % 3 else "by ordinary post"
        found.append(f"Please send {'; '.join(lines)} to {CITIES[number % len(CITIES)]} {express}.")
    return found


def answered(loaded: Weights, folder: Path, question: str, max_tokens: int) -> str:
    """What the model writes, greedily."""
    import torch
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    messages = [{"role": "system", "content": FORM}, {"role": "user", "content": question}]
    shown = tokenizer.apply_chat_template(
        messages, tools=[TOOL], add_generation_prompt=True, return_tensors="pt", return_dict=True
    ).to(loaded.device)
    with torch.inference_mode():
        made = loaded.model.generate(**shown, max_new_tokens=max_tokens, do_sample=False)
    return str(tokenizer.decode(made[0][shown["input_ids"].shape[1] :], skip_special_tokens=True))


def counted(texts: list[str]) -> dict[str, Any]:
    """How many texts drop a bracket, and how many hold a call that the schema accepts."""
    dropped, valid = sum(map(drops_bracket, texts)), sum(map(is_valid_call, texts))
    return {"answers": len(texts), "bracket_drops": dropped, "valid_calls": valid}


def drops_bracket(text: str) -> bool:
    """Whether braces and brackets outside strings do not match, or none was opened at all."""
    open_ones: list[str] = []
    opened = in_string = escaped = False
    for letter in text:
        if in_string:
            in_string = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            in_string = bool(open_ones)  # a quotation mark in prose before the call is no string
        elif letter in "{[":
            open_ones.append(letter)
            opened = True
        elif letter in CLOSES and (not open_ones or open_ones.pop() != CLOSES[letter]):
            return True
    return not opened or bool(open_ones)


def is_valid_call(text: str) -> bool:
    """Whether the first JSON object in the text is a call of the tool with arguments that its schema accepts."""
    start = text.find("{")
    try:
        call, _end = json.JSONDecoder().raw_decode(text[start:] if start >= 0 else "")
    except ValueError:
        return False
    if not isinstance(call, dict) or call.get("name") != "place_order":
        return False
    return jsonschema_rs.is_valid(ARGUMENTS, call.get("arguments"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_tools", description=__doc__)
    parser.add_argument(
        "--model", default="qwen2.5-coder-0.5b-instruct", help="in models/lock.toml, or a folder"
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--bits", type=int, nargs="+", choices=sorted(DTYPES), default=[16, 8, 4])
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--max-tokens", type=int, default=400)
    parser.add_argument("--json", type=Path, help="write everything to this file too")
    return parser


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("bits", "dtype", "answers", "brackets dropped", "valid calls", "weights MiB")
    for row in rows:
        names = ("bits", "dtype", "answers", "bracket_drops", "valid_calls", "memory_mib")
        table.add_row(*(str(row[name]) for name in names))
    return table


if __name__ == "__main__":
    main()
