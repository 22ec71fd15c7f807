"""Reads each openly licensed training set into rows with our labels.

Knows file layouts, not features or models. Sets without a clear licence have no reader here.
"""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.scout import labels
from models.scout.row import Row, question_key
from serve.signals.readings import Difficulty, TaskType

LICENCES = {
    "complexity_uncommon": "MIT",
    "llmrouter_ulab": "MIT",
    "zeroeval": "Apache-2.0 (GSM8K, MATH: MIT)",
    "mmlu_pro": "Apache-2.0, data MIT",
    "routellm_mmlu": "Apache-2.0 (MMLU: MIT)",
    "routellm_gsm8k": "Apache-2.0 (GSM8K: MIT)",
    "prompts_wild": "Apache-2.0",
    "constraints_ifeval": "Apache-2.0",
    "constraints_followbench": "Apache-2.0",
    "bfcl_v4": "Apache-2.0",
    "sensitivity_vsr": "Apache-2.0",
    "wrapped": "this project, around prompts of the sets above",
    "written": "this project",
}


def read(data: Path) -> Iterator[Row]:
    """All rows of all sets; where a question repeats, the set with the better label comes first."""
    for reader in _READERS:
        yield from reader(data)


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _row(family: str, text: str, difficulty: Difficulty | None, task: TaskType | None) -> Row:
    return Row(family, text, question_key(text), difficulty, task)


def _uncommon(data: Path) -> Iterator[Row]:
    for line in _lines(data / "complexity_uncommon" / "prompts.jsonl.gz"):
        task = labels.UNCOMMON_TASKS.get(line["task"])
        yield _row("complexity_uncommon", line["prompt"], line["label"], task)


def _vsr(data: Path) -> Iterator[Row]:
    for line in _lines(data / "sensitivity_vsr" / "privacy_exemplars.jsonl.gz"):
        if line["label"] in labels.VSR_DIFFICULTIES:
            yield _row("sensitivity_vsr", line["prompt"], labels.VSR_DIFFICULTIES[line["label"]], None)


def _zeroeval(data: Path) -> Iterator[Row]:
    for name, family in (("gsm", "gsm8k"), ("math-l5", "math")):
        for line in _lines(data / "zeroeval" / f"{name}.jsonl.gz"):
            yield _row(family, line["prompt"], labels.difficulty_of(line["scores"]), "reasoning")


def _ulab(data: Path) -> Iterator[Row]:
    by_task: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in _lines(data / "llmrouter_ulab" / "queries.jsonl.gz"):
        by_task[line["dataset"]].append(line)
    for name, lines in by_task.items():
        broken = labels.broken_models([line["scores"] for line in lines])
        for line in lines:
            yield _row(
                _ulab_family(name), line["prompt"], _ulab_label(line, broken), labels.ULAB_TASKS.get(name)
            )


def _ulab_family(name: str) -> str:
    named = {"gsm8k": "gsm8k", "agentverse-mgsm": "gsm8k", "math": "math", "mmlu": "mmlu", "gpqa": "gpqa"}
    code = {"mbpp": "ulab_code", "human_eval": "ulab_code", "commongen": "commongen"}
    return (named | code).get(name, "gpqa" if "logicgrid" in name else "ulab_qa")


def _ulab_label(line: dict[str, Any], broken: list[str]) -> Difficulty | None:
    """F1 against a short gold answer measures brevity, not truth: any overlap counts as right there."""
    if line["metric"] == "commongen_coverage":
        return "standard"
    if line["metric"] != "f1_score":
        return labels.difficulty_of(line["scores"], broken)
    found = labels.difficulty_of({model: float(value > 0.05) for model, value in line["scores"].items()})
    return "standard" if found == "complex" else found


def _gsm8k(data: Path) -> Iterator[Row]:
    for line in _lines(data / "routellm_gsm8k" / "gsm8k.jsonl.gz"):
        yield _row("gsm8k", line["prompt"], labels.difficulty_of(line["scores"]), "reasoning")


def _mmlu(data: Path) -> Iterator[Row]:
    for line in _lines(data / "routellm_mmlu" / "mmlu.jsonl.gz"):
        yield _row("mmlu", line["prompt"], labels.difficulty_of(line["scores"]), None)


def _mmlu_pro(data: Path) -> Iterator[Row]:
    for line in _lines(data / "mmlu_pro" / "mmlu_pro.jsonl.gz"):
        maths = line["category"] in labels.MATHS_SUBJECTS
        task: TaskType = "reasoning" if maths else "question_answering"
        yield _row("mmlu_pro", line["prompt"], labels.difficulty_of(line["scores"]), task)


def _wild(data: Path) -> Iterator[Row]:
    """Arena-Hard was selected upstream for being hard; its creative part was not."""
    for line in _lines(data / "prompts_wild" / "arena_hard.jsonl.gz"):
        creative = line["category"] == "creative_writing"
        task = labels.ARENA_TASKS.get(line["subcategory"] or "")
        yield _row("arena_hard", line["prompt"], "standard" if creative else "complex", task)
    for line in _lines(data / "prompts_wild" / "user_oriented.jsonl.gz"):
        rewriting: TaskType | None = "rewriting" if line["category"] == "Grammarly" else None
        yield _row("user_oriented", line["prompt"], "standard", rewriting)


def _ifeval(data: Path) -> Iterator[Row]:
    for line in _lines(data / "constraints_ifeval" / "ifeval.jsonl.gz"):
        yield _row("ifeval", line["prompt"], None, "long_form")


def _followbench(data: Path) -> Iterator[Row]:
    for line in _lines(data / "constraints_followbench" / "followbench.jsonl.gz"):
        task = labels.FOLLOWBENCH_TASKS.get(line["source"])
        yield Row("followbench", line["prompt"], f"followbench:{line['group']}", None, task)


def _bfcl(data: Path) -> Iterator[Row]:
    """First turns of sessions over files, tickets or trades: work that only tools can do."""
    for name in ("base", "miss_func", "miss_param"):
        for line in _lines(data / "bfcl_v4" / f"multi_turn_{name}.jsonl.gz"):
            if line["question"] and line["question"][0]:
                yield _row("bfcl_multi_turn", line["question"][0][-1]["content"], None, "tool_call")


_READERS = (
    _uncommon,
    _vsr,
    _zeroeval,
    _ulab,
    _gsm8k,
    _mmlu,
    _mmlu_pro,
    _wild,
    _ifeval,
    _followbench,
    _bfcl,
)
