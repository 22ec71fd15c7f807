"""What another policy would do: past decisions, or made-up situations, decided by both.

A log holds codes and numbers only. A condition on something that it does not hold is unknown; then the rule of the same
name and conditions is taken to have decided as it did, and what stays unknown is counted, never guessed.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve import policy
from serve.config import Config, Rule, When
from serve.decision import LaneState
from serve.errors import ConfigError, HttpError
from serve.ledger.money import micro
from serve.ledger.prices import tariffs
from serve.policies import situation
from serve.policies.check import only
from serve.policies.golden import Class
from serve.request import Capability, RequestView
from serve.signals.readings import DIFFICULTIES, Difficulty, Sensitivity, Signals, TaskReading, TaskType
from serve.wish import LATENCIES, STAKES, Wish

MOST_SITUATIONS = 20_000
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
REFUSED = "refused"


class Past(BaseModel):
    """One line of the decision log. None: the line does not say."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    decision_id: str = ""
    data_class: Class = Field(alias="class")
    input_tokens: Count
    output_tokens: Count | None = None
    constraints: Count | None = None
    difficulty: Difficulty | None = None
    confidence: Share | None = None
    gain: Share | None = None
    task: TaskType | None = None
    task_confidence: Share | None = None
    tools: bool | None = None
    structured: bool | None = None
    needs: frozenset[Capability] = frozenset()
    reason: str | None = None
    reasons: tuple[str, ...] = ()
    lane: str | None = None

    @property
    def codes(self) -> frozenset[str]:
        """Every reason that was given."""
        return frozenset((*self.reasons, *([self.reason] if self.reason else [])))


@dataclass(slots=True)
class Difference:
    """moved: how many go from one lane to another, by class. cost: micro-dollars more, at the prices of each."""

    seen: int = 0
    same: int = 0
    unknown: int = 0
    pinned: int = 0
    skipped: int = 0
    old_cost: int = 0
    new_cost: int = 0
    moved: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str, str], str] = field(default_factory=dict)


def read(path: Path) -> tuple[list[Past], int]:
    """The decisions of a decision log or an exported audit log, and how many lines were something else.

    Raises ConfigError that names the file and the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    found, others = [], 0
    for number, line in enumerate(lines, 1):
        values = _values(line)
        if values is None:
            others += 1
            continue
        try:
            found.append(Past.model_validate(values))
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise ConfigError(f"{path}: line {number} is no decision: {where} is wrong or missing") from None
    if not found:
        raise ConfigError(
            f"{path}: holds no decision. Give the lines of the log `pointsman.decision`, or "
            "`pointsman audit export` as JSONL"
        )
    return found, others


def _values(line: str) -> dict[str, Any] | None:
    """What a line says of a decision, None when it is about something else."""
    try:
        values = json.loads(line[line.find("{") :]) if "{" in line else None
    except ValueError:
        return None
    if not isinstance(values, dict):
        return None
    for name in ("message", "msg", "event"):
        if isinstance(values.get(name), str) and "decision {" in values[name]:
            return _values(values[name])
    if values.get("kind") == "intent":
        lanes = values.get("lanes")
        first = lanes[0].get("lane") if isinstance(lanes, list) and lanes else None
        return values | {"lane": first, "decision_id": values.get("decision", "")}
    return values if "class" in values and "policy_version" in values and "kind" not in values else None


def compare(past: list[Past], old: Config, new: Config) -> Difference:
    """What of the past would have another first lane, all lanes being ready, and what that would cost."""
    result = Difference()
    for one in past:
        result.seen += 1
        if one.codes & {"pinned", "session"} or any(code.startswith("wish_") for code in one.codes):
            result.pinned += 1
            continue
        before, after = _lane(one, old, old), _lane(one, new, old)
        if before is None or after is None:
            result.unknown += 1
            continue
        out = situation.OUTPUT_TOKENS if one.output_tokens is None else one.output_tokens
        result.old_cost += _cost(old, before, one.input_tokens, out)
        result.new_cost += _cost(new, after, one.input_tokens, out)
        _note(result, one.data_class, before, after, one.decision_id)
    return result


def _note(result: Difference, level: str, before: str, after: str, example: str) -> None:
    if before == after:
        result.same += 1
        return
    result.moved[level, before, after] += 1
    result.examples.setdefault((level, before, after), example)


def _cost(config: Config, lane: str, read: int, written: int) -> int:
    return 0 if lane.startswith(REFUSED) else tariffs(config)[lane].cost(read, 0, written)


def _lane(past: Past, config: Config, recorded: Config) -> str | None:
    """The first lane, `refused: CODE`, or None when the log does not hold what decides."""
    signals = situation.signals(
        level=Sensitivity.parse(past.data_class),
        input_tokens=past.input_tokens,
        constraints=past.constraints or 0,
        difficulty=past.difficulty or "standard",
        confidence=past.confidence or 0.0,
        gain=past.gain or 0.0,
        task=TaskReading(past.task or "other", 1.0 if past.task_confidence is None else past.task_confidence),
    )
    view = situation.view(
        tools=bool(past.tools),
        structured=bool(past.structured),
        needs=past.needs,
        output_tokens=past.output_tokens,
    )
    rule = _rule(past, config, recorded, signals, view)
    if rule is None or (rule.tier == "table" and (past.task is None or past.gain is None)):
        return None
    return _first(signals, view, Wish(), only(rule, config))


def _rule(past: Past, config: Config, recorded: Config, signals: Signals, view: RequestView) -> Rule | None:
    """The rule that decides, None when that cannot be told."""
    known = {rule.name: (place, rule.when) for place, rule in enumerate(recorded.policy.rules)}
    fired = next((known[code][0] for code in past.codes if code in known), None)
    for rule in config.policy.rules:
        told = _told(rule.when, past, signals, view)
        if told is None and fired is not None and known.get(rule.name, (0, None))[1] == rule.when:
            place = known[rule.name][0]
            told = None if place > fired else place == fired
        if told is None:
            return None
        if told:
            return rule
    return None


def _told(when: When, past: Past, signals: Signals, view: RequestView) -> bool | None:
    """Whether the conditions hold; None when one is unknown and no other fails."""
    given = {name for name in When.model_fields if getattr(when, name) is not None}
    unknown = {
        name
        for name in given
        if (name in _NEEDS and getattr(past, _NEEDS[name]) is None)
        or name in ("stakes", "latency", "ceiling_below_usd")
    }
    certain = when.model_copy(update=dict.fromkeys(unknown))
    if not policy.holds(certain, signals, view, Wish()):
        return False
    return None if unknown else True


_NEEDS: Mapping[str, str] = {
    "constraints_over": "constraints",
    "difficulty": "difficulty",
    "confidence_at_least": "confidence",
    "gain_at_least": "gain",
    "task": "task",
    "tools": "tools",
    "structured": "structured",
}


def _first(signals: Signals, view: RequestView, wish: Wish, config: Config) -> str:
    states = {lane.name: LaneState.READY for lane in config.lanes}
    try:
        return policy.decide(signals, view, wish, states, config).chain[0]
    except HttpError as error:
        return f"{REFUSED}: {error.code}"


def imagined(old: Config, new: Config) -> tuple[Difference, int]:
    """Both policies over situations on either side of every condition of either; and how many there were to try."""
    axes = _axes(old, new)
    total = 1
    for values in axes.values():
        total *= len(values)
    step = -(-total // MOST_SITUATIONS)
    result = Difference()
    for picked in islice(product(*axes.values()), 0, None, step):
        chosen = dict(zip(axes, picked, strict=True))
        signals, view, wish = _situation(chosen)
        result.seen += 1
        before, after = (_first(signals, view, wish, config) for config in (old, new))
        words = ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in chosen.items() if name != "level"
        )
        _note(result, chosen["level"].label, before, after, words)
    return result, total


def _axes(old: Config, new: Config) -> dict[str, list[Any]]:
    whens = [rule.when for config in (old, new) for rule in config.policy.rules]
    rows = [row for c in (old, new) if c.policy.table for row in c.policy.table.tasks.values()]
    sizes = {when.input_tokens_over for when in whens} | {
        lane.context for config in (old, new) for lane in config.lanes
    }
    ends = {when.gain_at_least for when in whens} | {row.threshold for row in rows}
    tasks = {*get_args(TaskType)} if rows else {"other"}.union(*(when.task or () for when in whens))
    ceilings = sorted({when.ceiling_below_usd for when in whens if when.ceiling_below_usd})
    axes: dict[str, list[Any]] = {
        "level": [*Sensitivity],
        "input_tokens": _around(sizes, 1),
        "constraints": _around({when.constraints_over for when in whens}, 1),
        "difficulty": [*DIFFICULTIES] if any(when.difficulty for when in whens) else ["standard"],
        "confidence": [0.0, *sorted({w.confidence_at_least for w in whens if w.confidence_at_least})],
        "gain": [0.0, *sorted({end for end in ends if end})],
        "task": sorted(tasks),
        "tools": [False, True] if any(when.tools is not None for when in whens) else [False],
        "structured": [False, True] if any(when.structured is not None for when in whens) else [False],
        "stakes": [*STAKES] if any(when.stakes for when in whens) else ["normal"],
        "latency": [*LATENCIES] if any(when.latency for when in whens) else ["interactive"],
        "ceiling": [None, *(micro(usd) - 1 for usd in ceilings)],
    }
    return {name: values for name, values in axes.items() if len(values) > 1}


def _around(limits: set[int | None], least: int) -> list[int]:
    return sorted({least - 1, *(limit + 1 for limit in limits if limit is not None)})


def _situation(chosen: dict[str, Any]) -> tuple[Signals, RequestView, Wish]:
    read = {name: value for name, value in chosen.items() if name in _READINGS}
    if "task" in read:
        read["task"] = TaskReading(read["task"], 1.0)
    shape = {name: chosen[name] for name in ("tools", "structured") if name in chosen}
    said = {name: chosen[name] for name in ("stakes", "latency") if name in chosen}
    return situation.signals(**read), situation.view(**shape), Wish(**said)


_READINGS = frozenset(
    {"level", "input_tokens", "constraints", "difficulty", "confidence", "gain", "task", "ceiling"}
)
