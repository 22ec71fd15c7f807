"""Golden cases: requests with the decision that is expected, decided by the very code that the Router runs.

Reads a file of cases and compares. Lanes count as up, whatever keys the environment holds, unless a case says so.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from models.scout.prescout import PreScout
from serve import config as configs
from serve import policy, schemas, wish, yaml_file
from serve.config import Config
from serve.decision import Decision, LaneState
from serve.errors import ConfigError, HttpError
from serve.keys.rights import Rights
from serve.ledger import purse
from serve.ledger.estimate import Size, usual, worst
from serve.ledger.money import micro
from serve.ledger.prices import tariffs
from serve.policies import situation
from serve.request import RequestView, view_of
from serve.signals.gather import Judges, gather
from serve.signals.readings import BudgetReading, Difficulty, Sensitivity, Signals, TaskReading, TaskType
from serve.wire.openai_chat import parse

State = Literal["ready", "full", "down", "off"]
Class = Literal["public", "internal", "confidential"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Readings(_Strict):
    """Readings put in the place of what would be measured, so that a case holds whatever the classifiers say.

    The class of the data is not among them: it is always read from the request.
    """

    input_tokens: int | None = Field(None, ge=0)
    constraints: int | None = Field(None, ge=0)
    difficulty: Difficulty | None = None
    confidence: float | None = Field(None, ge=0, le=1)
    gain: float | None = Field(None, ge=0, le=1)
    task: TaskType | None = None
    budget_used: float | None = Field(None, ge=0, description="share of the tightest budget")


class CaseKey(_Strict):
    """The rights of the caller."""

    lanes: frozenset[str] | None = None
    overrides: bool = True
    floor: Class = "public"
    exempt: frozenset[str] = frozenset()


class Expected(_Strict):
    """What must come out; what is not given may be anything."""

    lane: str | None = Field(None, description="who goes first")
    chain: tuple[str, ...] | None = None
    never: frozenset[str] = Field(frozenset(), description="lanes that may not be in the chain")
    data_class: Class | None = Field(None, alias="class")
    reason: str | None = Field(None, description="the code that weighed most")
    reasons: frozenset[str] = Field(frozenset(), description="codes that must be among the reasons")
    task: TaskType | None = None
    review: str | None = Field(None, description="the review rule that holds the answer")
    refused: str | None = Field(None, description="the code of the error, such as egress_denied")

    @model_validator(mode="after")
    def _says_something(self) -> "Expected":
        if not self.model_fields_set:
            raise ValueError("expects nothing: give lane, chain, never, class, reason, review or refused")
        return self


class Case(_Strict):
    """One request and what is expected of it. `request`: the text of a user, or the body of a chat request."""

    name: Annotated[str, Field(min_length=1)]
    request: str | dict[str, JsonValue]
    headers: dict[str, str] = {}
    key: CaseKey = CaseKey()
    lanes: dict[str, State] = Field({}, description="the state of lanes; those not named are ready")
    signals: Readings = Readings()
    expect: Expected


class Cases(_Strict):
    """A file of cases. `config`: the configuration they are about, relative to the file."""

    config: str | None = None
    cases: tuple[Case, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "Cases":
        names = [case.name for case in self.cases]
        if doubled := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"cases: {min(doubled)!r} stands twice")
        return self


@dataclass(frozen=True, slots=True)
class Result:
    """How one case ended: each difference as field, expected and found."""

    case: Case
    differences: tuple[tuple[str, str, str], ...]
    said: str


def read(path: Path) -> Cases:
    """The cases of one file. Raises ConfigError that names the file, the case and the fault."""
    try:
        return Cases.model_validate(yaml_file.parse(yaml_file.read(path), path))
    except ValidationError as error:
        raise ConfigError(configs.mistakes(path, error)) from error


def settings_of(cases: Cases, path: Path, given: Path | None) -> Config:
    """The configuration given, or the one that the file names. Raises ConfigError."""
    if given is None and cases.config is None:
        raise ConfigError(f"{path}: names no config; give one: pointsman policy test {path} CONFIG")
    config = configs.load(given or path.parent / str(cases.config))
    known = {lane.name for lane in config.lanes}
    for case in cases.cases:
        expect = case.expect
        named = {*case.lanes, *(expect.chain or ()), *expect.never, *([expect.lane] if expect.lane else [])}
        if unknown := sorted(named - known):
            raise ConfigError(f"{path}: case {case.name!r}: no lane is called {unknown[0]!r}")
    return config


def run(cases: Cases, config: Config) -> list[Result]:
    """Decides every case. Raises ConfigError for a case whose request is none."""
    prescout = PreScout.load()
    return asyncio.run(_run(cases, config, Judges(prescout, None)))


async def _run(cases: Cases, config: Config, judges: Judges) -> list[Result]:
    return [await _one(case, config, judges) for case in cases.cases]


async def _one(case: Case, config: Config, judges: Judges) -> Result:
    words: dict[str, JsonValue] = {"messages": [{"role": "user", "content": str(case.request)}]}
    body = words if isinstance(case.request, str) else case.request
    headers = {name.lower(): value for name, value in case.headers.items()}
    states = {lane.name: LaneState[case.lanes.get(lane.name, "ready").upper()] for lane in config.lanes}
    signals: Signals | None = None
    try:
        parsed = parse(json.dumps({"model": "auto"} | body).encode(), config.server.bounds)
        request, wanted = wish.read(parsed, headers, config, _rights(case.key))
        schemas.check(request)
        view = view_of(request)
        read = await gather(view, judges, config.signals, lambda _: False)
        signals = _with(read, case, view, config, headers)
        signals = replace(signals, sensitivity=signals.sensitivity.without(wanted.exempt))
        made = policy.decide(signals, view, wanted, states, config)
    except HttpError as error:
        return Result(case, tuple(_refused(case.expect, error, signals)), error.message)
    reasons = " ".join(reason.text for reason in made.reasons)
    return Result(case, tuple(_differences(case.expect, made, signals)), reasons)


def _rights(key: CaseKey) -> Rights:
    return Rights(key.lanes, key.overrides, Sensitivity.parse(key.floor), exempt=key.exempt)


def _with(
    signals: Signals, case: Case, view: RequestView, config: Config, headers: dict[str, str]
) -> Signals:
    """What was read, with the readings of the case in their places."""
    put, scout, task = case.signals, signals.scout, signals.task
    if put.input_tokens is not None:
        signals = replace(signals, context=replace(signals.context, input_tokens=put.input_tokens))
    if put.constraints is not None:
        signals = replace(signals, constraints=replace(signals.constraints, count=put.constraints))
    if put.difficulty is not None or put.confidence is not None or put.gain is not None:
        sure = scout.confidence if put.confidence is None else put.confidence
        gain = scout.gain if put.gain is None else put.gain
        unfamiliar = scout.unfamiliar if put.gain is None else 0.0
        scout = situation.scout(put.difficulty or scout.difficulty, sure, gain, unfamiliar)
    if put.task is not None:
        task = TaskReading(put.task, 1.0)
    budget = _budget(signals, view, config, put.budget_used or 0.0, headers)
    return replace(signals, scout=scout, task=task, budget=budget)


def _budget(
    signals: Signals, view: RequestView, config: Config, share: float, headers: dict[str, str]
) -> BudgetReading:
    cap = config.budgets.request
    ceiling = purse.lower(None if cap is None else micro(cap), headers.get(purse.MOST_HEADER))
    size = Size(signals.context.input_tokens, view.output_tokens, 1, len(view.opaque), bool(view.tool_names))
    billed = {name: tariff for name, tariff in tariffs(config).items() if tariff.billed}
    likely, most = usual(size), {name: worst(size, tariff) for name, tariff in billed.items()}
    dear = [
        (name, "it may cost more than the limit of this request")
        for name, tariff in billed.items()
        if ceiling is not None and tariff.cost(most[name].input, 0, most[name].output) > ceiling
    ]
    costs = {lane.name: 0 for lane in config.lanes} | {
        name: tariff.cost(likely.input, 0, likely.output) for name, tariff in billed.items()
    }
    return BudgetReading(share, "the budget of the case", tuple(costs.items()), tuple(dear), ceiling=ceiling)


def _refused(expect: Expected, error: HttpError, signals: Signals | None) -> Iterator[tuple[str, str, str]]:
    if expect.refused != error.code:
        yield "refused", expect.refused or "no", error.code
    if expect.refused is None:
        return
    level = signals.sensitivity.level.label if signals else "not read"
    if expect.data_class is not None and expect.data_class != level:
        yield "class", expect.data_class, level


def _differences(expect: Expected, made: Decision, signals: Signals) -> Iterator[tuple[str, str, str]]:
    if expect.refused is not None:
        yield "refused", expect.refused, f"no: goes to {made.chain[0]}"
    found = {
        "lane": (expect.lane, made.chain[0]),
        "chain": (" > ".join(expect.chain) if expect.chain else None, " > ".join(made.chain)),
        "class": (expect.data_class, made.permit.level.label),
        "reason": (expect.reason, made.reason),
        "task": (expect.task, signals.task.task),
        "review": (expect.review, made.review.code if made.review else "none"),
    }
    for name, (wanted, got) in found.items():
        if wanted is not None and wanted != got:
            yield name, wanted, got
    if reached := expect.never & {*made.chain}:
        yield "never", ", ".join(sorted(expect.never)), f"{', '.join(sorted(reached))} in the chain"
    codes = {reason.code for reason in made.reasons}
    if missing := expect.reasons - codes:
        yield "reasons", ", ".join(sorted(missing)), ", ".join(sorted(codes))
