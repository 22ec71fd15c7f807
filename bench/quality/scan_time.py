"""How long the sensitivity signal takes: texts of 8,000 characters from real prompts, and hostile inputs of 100 KB.

CPU time of this process, best of a few rounds: what else runs on the machine does not count. Judges nothing.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from rich.console import Console

from bench import report
from bench.quality.cases import cases, sources
from serve.request import RequestView, view_of
from serve.signals import sensitivity
from serve.signals.sensitivity import abroad, contact, identifiers
from serve.wire.openai_chat import ChatRequest

_TEXT = 8_000
_TEXTS = 200
_HOSTILE = 100_000
_ROUNDS = 3
_GOALS_MS = {"structured_p95_ms": 1.0, "all_p95_ms": 15.0, "hostile_worst_ms": 50.0}

# What makes scanners slow: runs of almost-values, one for each family of rules, and text that unfolds.
HOSTILE_PIECES: tuple[str, ...] = (
    "a", "1", "A", " ", "\n", "-", "@", ".", "é", "雪", "😀", "\u200b", "\u0301", "\uff10", "&", "%", "\\",
    "4111 ", "4111-1111-1111-111", "1 2 3 4 ", "12 34 ", "0" * 15 + "1 ", "123-45-678", "010190-", "19900101-123 ",
    "GB82 WEST ", "DE89 3704 0044 0532 0130 0", "DE", "a@b", "a.b.", "x@x.x ", "1.1.1.", "1.1.1.1.", "2001:db8:",
    "+1 555 ", "(020) ", "+46 70 123 ", "call 555 ", "phone: 12", "tel 1 ",
    "John ", "John Smith ", "Dr. A ", "Anna B. ", "my name is ", "Dear ", "x ", "Xx ", "mary johnson ",
    "12 Main ", "12 Main Street ", "Street ", "rue de la ", "lives at ", "apt 5 ", "1 A ", "box ",
    "password", "password=", "secret: ", "key = 'a", "token token ", "https://a:", "-----BEGIN PRIVATE KEY-----",
    "eyJ", "eyJhbGciOi.", "sk-", "AKIA", "kind: Secret\ndata:\n", "aGVsbG8gd29ybGQg", "68656c6c6f20776f726c64",
    "CONFIDENTIAL, ", "this document ", "our internal ", "review the customer ", "patient: x\n", "diagnosed ",
    "&amp;", "%25", "\\u0041", "&#x41;", '{"a":', "[[[[", "<a><b>", "我们", "password: \"", "name: A",
)  # fmt: skip


def run(data: Path, out: Path | None, console: Console) -> int:
    """Measures, prints and writes `out`. Exit status 1 when a goal is missed. Raises DataUnreadable."""
    texts = _texts(data)
    hostile = {repr(piece)[:40]: _ms_of(_whole, _filled(piece)) for piece in HOSTILE_PIECES}
    figures = _spread("structured", texts, _structured) | _spread("all", texts, _whole) | _extremes(hostile)
    report.save(out, {"figures": figures, "hostile_ms": hostile})
    for name, value in figures.items():
        goal = f" (goal {_GOALS_MS[name]:g})" if name in _GOALS_MS else ""
        console.print(f"{name} {value:g}{goal}", highlight=False)
    for name, ms in sorted(hostile.items(), key=lambda item: -item[1])[:10]:
        console.print(f"  {ms:.1f} ms  {name}", markup=False, highlight=False)
    return int(any(figures[name] > goal for name, goal in _GOALS_MS.items()))


def _texts(data: Path) -> list[str]:
    """Prompts of the public sets run together, cut to equal length."""
    public = [case.text for source in sources(data) for case in cases(source) if case.public]
    joined = "\n\n".join(public)
    return [joined[at : at + _TEXT] for at in range(0, min(len(joined), _TEXT * _TEXTS) - _TEXT + 1, _TEXT)]


def _filled(piece: str) -> str:
    return piece * (_HOSTILE // len(piece.encode()))


def _structured(text: str) -> object:
    data = text.encode()
    return [rules.find(data) for rules in (identifiers.RULES, abroad.RULES, contact.RULES)]


def _whole(text: str) -> object:
    return sensitivity.read(_view(text))


def _view(text: str) -> RequestView:
    body: dict[str, JsonValue] = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    return view_of(ChatRequest.model_validate(body))


def _ms_of(work: Callable[[str], object], text: str) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        started = time.process_time()
        work(text)
        rounds.append((time.process_time() - started) * 1000)
    return round(min(rounds), 3)


def _spread(name: str, texts: Sequence[str], work: Callable[[str], object]) -> dict[str, float]:
    times = sorted(_ms_of(work, text) for text in texts)
    at = {"p50": 50, "p95": 95, "p100": 100}
    return {
        f"{name}_{label}_ms": times[math.ceil(share / 100 * len(times)) - 1] for label, share in at.items()
    }


def _extremes(hostile: dict[str, float]) -> dict[str, Any]:
    return {
        "hostile_inputs": len(hostile),
        "hostile_worst_ms": max(hostile.values()),
        "hostile_over_50_ms": sum(ms > _GOALS_MS["hostile_worst_ms"] for ms in hostile.values()),
    }
