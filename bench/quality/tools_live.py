"""A real model asked for tool calls through the product: where its answers end, and whether they are right.

Every step is the product's own: the trail of an answer says whether it was sound, mended, asked for again along a
grammar, or handed on. Only the rightness is judged here, by the gold calls of the set.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from bench import report
from bench.quality import gold, live, tools
from bench.quality.cases import DataUnreadable
from bench.quality.live import Told
from bench.quality.tool_cases import Call, Question, outputs, questions

Step = Literal["raw", "repaired", "reasked", "escalated", "refused", "failed"]
STEPS: tuple[Step, ...] = ("raw", "repaired", "reasked", "escalated", "refused", "failed")
ENDED = STEPS[:3]
NO_TOOL = "irrelevance"
MOST_TOKENS = 512
_STEP_OF: Mapping[str, Step] = {"ok": "raw", "repaired": "repaired", "reasked": "reasked"}


@dataclass(frozen=True, slots=True)
class Ended:
    """One task and what became of it.

    step    the last one: `escalated` is an answer that the lane could not give, `refused` a request that it could not
            take (400), `failed` one that got no answer for another reason (5xx)
    calls   calls that the client got
    right   they are the gold calls, or there is none where no tool applies
    cut     the answer ended at the limit of tokens
    """

    id: str
    category: str
    step: Step
    calls: int
    right: bool
    cut: bool


def run(given: argparse.Namespace, console: Console) -> int:
    """Asks, prints the tables, writes the JSON. Raises DataUnreadable or live.Unanswered."""
    started, at = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    known = questions(given.data)
    tasks = sample(known, given.sample)
    how = live.asking(given)
    if given.kept:
        tasks = [task for task in tasks if live.kept(how, body(task, given.tool_choice))]
    # A failure of the product is an outcome here, so it is not asked for again.
    told = live.ask(replace(how, again=0), [body(task, given.tool_choice) for task in tasks], console)
    rows = [ended(task, answer) for task, answer in zip(tasks, told, strict=True)]
    found = {name: figures(some) for name, some in _groups(rows)}
    handed_on = next_asked(given, known, [row.id for row in rows if row.step == "escalated"])
    result = report.origin(["python", "-m", "bench.quality", *given.argv], at, time.perf_counter() - started)
    settings = {"lane": given.lane, "tool_choice": given.tool_choice, "max_tokens": MOST_TOKENS}
    result |= {"settings": settings | {"temperature": 0}, "results": found, "next": handed_on}
    report.save(given.json, result | {"rows": [asdict(row) for row in rows]})
    show(console, found)
    if handed_on is not None:
        console.print(
            f"Of {handed_on['n']} tasks that were handed on {given.next} (recorded) gives a usable answer to "
            f"{handed_on['usable']}, and the gold calls for {handed_on['right']}."
        )
    return 0


def next_asked(
    given: argparse.Namespace, known: dict[str, Question], tasks: Sequence[str]
) -> dict[str, Any] | None:
    """What the recorded outputs of `--next`, read and mended by the product, are worth for the tasks handed on."""
    if given.next is None:
        return None
    wanted = [one for one in outputs(given.data, known) if one.model == given.next]
    if not wanted:
        raise DataUnreadable(f"{given.data} holds no outputs of {given.next}.")
    found = [row for row in tools.replay(known, wanted) if row.question in tasks]
    usable, right = sum(row.outcome != "invalid" for row in found), sum(row.right for row in found)
    return {"model": given.next, "n": len(found), "usable": usable, "right": right}


def sample(known: Mapping[str, Question], most: int) -> list[Question]:
    """Tasks with gold calls, evenly over their categories, and one in seven where no tool applies."""
    kinds: dict[str, list[Question]] = {}
    for task in known.values():
        if task.gold or task.category == NO_TOOL:
            kinds.setdefault(task.category, []).append(task)
    if not kinds:
        raise DataUnreadable("the data holds no tasks with `function` and `ground_truth` (bfcl_* sets).")
    taken = live.spread({kind: len(tasks) for kind, tasks in kinds.items()}, most)
    chosen = {kind: sorted(tasks, key=lambda task: live.drawn(task.id)) for kind, tasks in kinds.items()}
    return [task for kind in sorted(kinds) for task in chosen[kind][: taken[kind]]]


def body(task: Question, tool_choice: str) -> dict[str, Any]:
    """The request of a client that offers the task's tools, described as the set describes them."""
    offered = [
        {
            "type": "function",
            "function": {"name": name, "description": task.about.get(name, ""), "parameters": schema},
        }
        for name, schema in task.tools.items()
    ]
    asked = {"messages": task.messages, "tools": offered, "temperature": 0, "max_tokens": MOST_TOKENS}
    return asked if tool_choice == "auto" else asked | {"tool_choice": tool_choice}


def ended(task: Question, told: Told) -> Ended:
    """What the trail and the body of an answer say about one task."""
    step, calls = _step(told), _calls(told)
    right = step in ENDED and gold.right(calls, task.gold)
    cut = told.choice.get("finish_reason") == "length"
    return Ended(task.id, task.category, step, len(calls), right, cut)


def _step(told: Told) -> Step:
    last = told.trail[-1][1] if told.trail else ""
    if told.status != 200:
        return "refused" if told.status == 400 else "escalated" if last == "invalid" else "failed"
    step = _STEP_OF.get(last, "escalated")
    return "escalated" if len(told.trail) > 1 and step != "reasked" else step


def figures(rows: Sequence[Ended]) -> dict[str, Any]:
    """Counts and shares of one group of tasks.

    steps         how many answers ended at each step, and how many of those are right
    valid_after   share of answers that the client can use after each step: of the right shape, right or not
    right_after   share that are the gold calls
    no_call       answers of the right shape that are text, not calls
    reask_mends   share of the answers asked for again that came right in shape
    """
    count = {step: [row for row in rows if row.step == step] for step in STEPS}
    reasked, lost = len(count["reasked"]), len(count["escalated"])
    return {
        "n": len(rows),
        "steps": {
            step: {"n": len(some), "right": sum(r.right for r in some)} for step, some in count.items()
        },
        "valid_after": _after(rows, lambda row: True),
        "right_after": _after(rows, lambda row: row.right),
        "no_call": sum(not row.calls and row.step in ENDED for row in rows),
        "cut": sum(row.cut for row in rows),
        "reask_mends": round(reasked / (reasked + lost), 4) if reasked + lost else None,
    }


def show(console: Console, found: Mapping[str, Mapping[str, Any]]) -> None:
    """One line per category: where answers ended, and what is right by then."""
    table = Table("category", "n", *STEPS, "no call", "right raw", "repaired", "re-asked",
                  title="Where answers end, and the share right by then", title_justify="left")  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    for name, one in found.items():
        ends = [f"{one['steps'][step]['n'] / one['n']:.3f}" for step in STEPS]
        shares = [f"{one['right_after'][step]:.3f}" for step in ENDED]
        table.add_row(name, str(one["n"]), *ends, str(one["no_call"]), *shares)
    console.print(table)


def _groups(rows: Sequence[Ended]) -> Iterable[tuple[str, list[Ended]]]:
    """By category, then all that have gold calls."""
    for category in sorted({row.category for row in rows}):
        yield category, [row for row in rows if row.category == category]
    if called := [row for row in rows if row.category != NO_TOOL]:
        yield "all with calls", called


def _after(rows: Sequence[Ended], counts: Callable[[Ended], bool]) -> dict[str, float]:
    """The share of `rows` that ended at a step or before it and count."""
    shares: dict[str, float] = {}
    for place, step in enumerate(ENDED, 1):
        hits = sum(row.step in STEPS[:place] and counts(row) for row in rows)
        shares[step] = round(hits / len(rows), 4)
    return shares


def _calls(told: Told) -> list[Call]:
    found = []
    for call in (told.choice.get("message") or {}).get("tool_calls") or ():
        function = call["function"]
        found.append((function["name"], json.loads(function["arguments"])))
    return found
