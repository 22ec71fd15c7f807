"""Does a preamble help a local model? The same questions with and without it, and with its sampling alone.

The requests are those that the product would send (`serve.preambles.chosen.applied`). Half of the questions choose
among the candidates, the other half says what the chosen one is worth.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from bench import report
from bench.quality import live, short
from bench.quality.intervals import of_gain, of_share
from bench.quality.live import Told
from bench.quality.short import Short
from bench.quality.sureness import SURE
from serve.preambles import chosen
from serve.preambles.config import Preamble
from serve.wire.openai_chat import ChatRequest

CANDIDATES = Path(__file__).with_name("preambles.yaml")
PLAIN, SAMPLING = "as the client sent it", "sampling alone"
Bodies = Mapping[str, dict[str, Any]]
Right = Mapping[str, Sequence[bool]]


def run(given: argparse.Namespace, console: Console) -> int:
    """Asks, prints the tables, writes the JSON. Raises DataUnreadable or live.Unanswered."""
    started, at = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    tasks = short.read(given.data, given.sample)
    candidates = TypeAdapter(list[Preamble]).validate_python(
        yaml.safe_load(given.candidates.read_text("utf-8"))
    )
    arms = [bodies(task, candidates) for task in tasks]
    flat = live.ask(live.asking(given), [body for arm in arms for body in arm.values()], console)
    told = iter(flat)
    asked = [(task, {name: next(told) for name in arm}) for task, arm in zip(tasks, arms, strict=True)]
    # A question that lacks an answer in one arm would tilt the comparison: it is left out of all of them.
    answered = [(task, _said(arm)) for task, arm in asked if not any(one.failed for one in arm.values())]
    found = tables(answered)
    result = report.origin(["python", "-m", "bench.quality", *given.argv], at, time.perf_counter() - started)
    texts = {
        one.label: one.model_dump(mode="json", include={"text", "temperature", "top_p"}) for one in candidates
    }
    report.save(
        given.json,
        result
        | {
            "lane": given.lane,
            "candidates": texts,
            "unanswered": (lost := sum(one.failed for one in flat)),
            "results": found,
        },
    )
    show(console, found)
    live.mention(console, lost, len(flat))
    return 0


def tables(pairs: Sequence[tuple[Short, Mapping[str, str]]]) -> dict[str, dict[str, Any]]:
    """Figures of each set, each kind of task and all questions, by half; kinds and all count a question once."""
    groups: dict[str, list[tuple[Short, Mapping[str, str]]]] = {}
    for task, said in pairs:
        for name in (task.set, f"all {task.kind}", "all"):
            groups.setdefault(name, []).append((task, said))
    return {
        name: {
            part: figures([pair for pair in group if pair[0].calibrates is (part == "choosing")])
            for part in ("choosing", "held out")
        }
        for name, group in sorted(groups.items())
    }


def _said(arm: Mapping[str, Told]) -> Mapping[str, str]:
    return {name: told.choice.get("message", {}).get("content") or "" for name, told in arm.items()}


def bodies(task: Short, candidates: Sequence[Preamble]) -> Bodies:
    """One question in every arm. Its seed makes the arm without a temperature repeat itself."""
    plain = task.body() | {"seed": 1}
    arms = {PLAIN: plain, SAMPLING: task.body() | SURE}
    for candidate in candidates:
        request = chosen.applied(candidate, ChatRequest.model_validate({"model": "auto", **task.body()}))
        sent = {name: value for name, value in request.sent().items() if name != "model"}
        arms[candidate.label] = sent | {"logprobs": True}
    return arms


def figures(pairs: Sequence[tuple[Short, Mapping[str, str]]]) -> dict[str, Any]:
    """Per arm the share right, and the gain over the client's own request and over the sampling alone."""
    if not pairs:
        return {}
    right = {arm: [task.right(said[arm]) for task, said in pairs] for arm in pairs[0][1]}
    return {arm: _arm(right, arm) for arm in right}


def _arm(right: Right, arm: str) -> dict[str, Any]:
    return {
        "n": len(right[arm]),
        "right": of_share(right[arm]),
        "gain": of_gain(right[PLAIN], right[arm]),
        "gain_of_text": of_gain(right[SAMPLING], right[arm]),
    }


def show(console: Console, found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """One line per set, half and arm."""
    table = Table("questions", "half", "arm", "n", "right", "gain", "gain of the text",
                  title="With and without a preamble", title_justify="left")  # fmt: skip
    for name, halves in found.items():
        for half, arms in halves.items():
            for arm, one in arms.items():
                shares = [f"{a:+.3f} [{b:+.3f}, {c:+.3f}]" for a, b, c in (one["gain"], one["gain_of_text"])]
                table.add_row(name, half, arm, str(one["n"]), f"{one['right'][0]:.3f}", *shares)
    console.print(table)


def options(parser: argparse.ArgumentParser) -> None:
    """What only this subject has."""
    parser.add_argument("--candidates", type=Path, default=CANDIDATES, help="a YAML list of preambles")
