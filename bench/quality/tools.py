"""What the verdict makes of recorded tool calls: how many are right before and after, and what it costs.

Runs the very code of the product over `bfcl_*` sets. Asks no model.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import JsonValue
from rich.console import Console
from rich.progress import track

from bench import report
from bench.quality import gold, tool_tables
from bench.quality.tool_cases import (
    Call,
    Output,
    Question,
    answer,
    native,
    outputs,
    questions,
    renamed,
    request,
    underscored,
)
from serve import grounds, verdict
from serve.wire.openai_answer import ChatCompletion
from serve.wire.openai_messages import ToolCall

WORKERS = 2
Fault = Literal["", "format", "type", "schema", "other"]
_SCHEMA_LABELS = ("missing_required", "unexpected_param", "wrong_func_name")


@dataclass(frozen=True, slots=True)
class Replayed:
    """One output and what became of it.

    label      the upstream checker calls the raw output right; where it is silent, a plain reading is right
    fault      what the upstream checker found, or, where it is silent, what a plain reading shows
    sound      `label`, no schema is broken, and the gold of today has not moved away: it must stay right
    outcome    the verdict's word
    right      the calls that the product would pass on are the gold calls
    violates   the calls, read but not mended, break a schema by a second validator; None where none can be read
    flagged    the verdict noticed (repaired or invalid) when it was given those very calls
    holds_call the name of an offered tool stands there with a bracket behind it: it is no refusal and no lecture
    doubted    it fits its schema, and the product would ask somebody else all the same (`dispatch.doubt_calls`)
    """

    question: str
    category: str
    label: bool
    fault: Fault
    sound: bool
    outcome: verdict.Outcome
    right: bool
    violates: bool | None
    flagged: bool
    holds_call: bool
    doubted: bool


def run(data: Path, out: Path | None, console: Console) -> int:
    """Replays every output under `data`, prints the tables, writes `out`. Raises DataUnreadable."""
    started, at = time.perf_counter(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    known = questions(data)
    groups: dict[tuple[str, str], list[Output]] = defaultdict(list)
    for output in outputs(data, known):
        groups[output.set, output.model].append(output)
    replayed = _all(known, groups, console)
    results = [{"set": s, "model": m} | figures(rows) for (s, m), rows in sorted(replayed.items())]
    report.save(out, {"results": results})
    tool_tables.show(console, results, replayed)
    seconds = time.perf_counter() - started
    console.print(f"{sum(map(len, replayed.values()))} outputs in {seconds:.0f} s, begun {at}")
    return 0


def figures(rows: Sequence[Replayed]) -> dict[str, Any]:
    """Shares of outputs; null where no output can say.

    raw_valid         right as they were written, in the words of the upstream checker
    repaired_valid    the gold calls after the product's verdict and repair; an invalid answer is not right
    format_repaired   of those with a format or decoder error that hold a call: the gold calls after repair
    type_repaired     of those with a type error: the gold calls after repair
    broken            of the sound ones: no longer the gold calls after the product had them
    violation_recall  of those whose calls break a schema: noticed
    false_rejects     of those that are right as written and break no schema: refused
    """
    return {
        "n": len(rows),
        "raw_valid": _share(r.label for r in rows),
        "repaired_valid": _share(r.right for r in rows),
        "format_repaired": _share(r.right for r in rows if r.fault == "format" and r.holds_call),
        "type_repaired": _share(r.right for r in rows if r.fault == "type"),
        "broken": _share(not r.right for r in rows if r.sound),
        "violation_recall": _share(r.flagged for r in rows if r.violates),
        "false_rejects": _share(r.outcome == "invalid" for r in rows if r.label and not r.violates),
    }


def replay(known: dict[str, Question], of_model: list[Output]) -> list[Replayed]:
    """The outputs of one model."""
    if underscored(known, of_model):
        known = {one.question: renamed(known[one.question]) for one in of_model}
    return [_replayed(known[output.question], output) for output in of_model]


def _all(
    known: dict[str, Question], groups: dict[tuple[str, str], list[Output]], console: Console
) -> dict[tuple[str, str], list[Replayed]]:
    with ProcessPoolExecutor(WORKERS) as pool:
        jobs = {
            pool.submit(replay, {o.question: known[o.question] for o in rows}, rows): key
            for key, rows in groups.items()
        }
        done = track(
            as_completed(jobs), "models", len(jobs), console=console, transient=True,
            disable=not console.is_terminal,
        )  # fmt: skip
        return {jobs[job]: job.result() for job in done}


def _replayed(question: Question, output: Output) -> Replayed:
    asked, said = request(question), answer(output.raw)
    judged = verdict.judge(asked, said)
    passed_on = _calls(judged.answer) if judged.outcome != "invalid" else None
    plain = _plain(output)
    plainly_right = plain is not None and gold.right(plain, question.gold)
    label = plainly_right if output.valid is None else output.valid
    written = said.choices[0].message.tool_calls or verdict.calls_read(asked, said.choices[0])
    read = _pairs(written)
    violates = gold.violates(read, question.tools) if read else None
    return Replayed(
        question.id,
        question.category,
        label,
        _fault(output, plain, violates),
        label and not violates and (plain is None or plainly_right),
        judged.outcome,
        passed_on is not None and gold.right(passed_on, question.gold),
        violates,
        bool(violates) and verdict.judge(asked, _as_native(said, written)).outcome != "valid",
        gold.holds_call(json.dumps(output.raw), question.tools),
        passed_on is not None and bool(grounds.doubt(asked, judged.answer)),
    )


def _fault(output: Output, plain: list[Call] | None, violates: bool | None) -> Fault:
    if output.valid is None:
        return "format" if plain is None else "type" if violates else ""
    kind, _, detail = (output.error or "").partition(":")
    if output.valid or not kind:
        return ""
    if kind == "ast_decoder":
        return "format"
    return "type" if kind == "type_error" else "schema" if detail in _SCHEMA_LABELS else "other"


def _plain(output: Output) -> list[Call] | None:
    calls = native(output.raw)
    return _pairs(calls) if calls else gold.plainly_read(str(output.raw))


def _calls(said: ChatCompletion) -> list[Call] | None:
    return _pairs(said.choices[0].message.tool_calls or ())


def _pairs(calls: Iterable[ToolCall]) -> list[Call] | None:
    """Names and arguments; None unless every call has an object of arguments."""
    found: list[Call] = []
    for call in calls:
        try:
            value: JsonValue = json.loads(call.function.arguments)
        except ValueError:
            return None
        if not isinstance(value, dict):
            return None
        found.append((call.function.name, value))
    return found or None


def _as_native(said: ChatCompletion, calls: Sequence[ToolCall]) -> ChatCompletion:
    [choice] = said.choices
    message = choice.message.model_copy(update={"tool_calls": list(calls), "content": None})
    changed = choice.model_copy(update={"message": message, "finish_reason": "tool_calls"})
    return said.model_copy(update={"choices": [changed]})


def _share(hits: Iterable[bool]) -> float | None:
    found = list(hits)
    return round(sum(found) / len(found), 4) if found else None
