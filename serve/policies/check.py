"""The proof that nothing forbidden is reachable: rules, wishes and states of lanes are decided, each chain looked at.

Decides with the Router's own `decide`; what is forbidden is read from the configuration alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from serve import config as configs
from serve import policy, yaml_file
from serve.config import ON_PREMISES, Config, Lane, Location, PolicyConfig, Rule, When
from serve.decision import LaneState
from serve.errors import ConfigError, HttpError
from serve.exclusions import off_because
from serve.policies import situation
from serve.signals.readings import Sensitivity, TaskReading
from serve.wish import Preference, Wish

PREFERENCES: tuple[Preference, ...] = ("cloud", "tier2", "tier3")
_LOCATIONS: TypeAdapter[dict[Literal["public", "internal", "confidential"], frozenset[Location]]] = (
    TypeAdapter(dict[Literal["public", "internal", "confidential"], frozenset[Location]])
)


@dataclass(frozen=True, slots=True)
class Breach:
    """A lane that data of a class reaches although it may not."""

    level: Sensitivity
    rule: str
    how: str
    chain: tuple[str, ...]
    lane: str
    location: str

    @property
    def text(self) -> str:
        """The chain, and what is wrong with it."""
        chain = " > ".join(self.chain)
        return (
            f"{self.level.label} data reaches {self.lane} ({self.location}), where it may not go: "
            f"rule {self.rule}, {self.how}: {chain}"
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """decisions: how many were made. breaches: one per class, rule and lane. doubts: lawful, but hardly meant."""

    decisions: int
    breaches: tuple[Breach, ...]
    doubts: tuple[str, ...]


def check(config: Config) -> Proof:
    """Decides every combination of class, rule, tier, wish and state of lanes."""
    decisions = 0
    found: dict[tuple[Sensitivity, str, str], Breach] = {}
    for rule in config.policy.rules:
        alone = only(rule, config)
        for level, wish, how, states, task in _cases(rule, alone):
            decisions += 1
            for breach in _breaches(alone, rule, level, wish, how, states, task):
                found.setdefault((breach.level, breach.rule, breach.lane), breach)
    return Proof(decisions, tuple(found.values()), tuple(_doubts(config)))


def only(rule: Rule, config: Config) -> Config:
    """The configuration with this rule alone, whatever its conditions are."""
    always = rule.model_copy(update={"when": When()})
    return config.model_copy(update={"policy": config.policy.model_copy(update={"rules": (always,)})})


def unproved(path: Path) -> Config | None:
    """A configuration that was refused for its `policy.locations`, with them as they stand; None if it is not that."""
    try:
        raw = configs.raw(yaml_file.read(path), path)
        wanted = _LOCATIONS.validate_python(raw["policy"]["locations"])  # type: ignore[index]
        lawful = {k: v for k, v in raw["policy"].items() if k != "locations"}  # type: ignore[index]
        config = configs.checked(raw | {"policy": lawful}, path)  # type: ignore[operator]
    except (ConfigError, ValidationError, KeyError, TypeError, AttributeError):
        return None
    places = {level.label: wanted.get(level.label, frozenset()) for level in Sensitivity}  # type: ignore[call-overload]
    return config.model_copy(update={"policy": config.policy.model_copy(update={"locations": places})})


def _cases(
    rule: Rule, config: Config
) -> Iterator[tuple[Sensitivity, Wish, str, dict[str, LaneState], TaskReading]]:
    for level in Sensitivity:
        for wish, how in _wishes(config):
            for states, lanes in _states(config):
                for task, row in _tasks(rule, config):
                    yield level, wish, f"{how}, {lanes}{row}", states, task


def _wishes(config: Config) -> Iterator[tuple[Wish, str]]:
    yield Wish(), "no wish"
    yield Wish(exempt=frozenset({"a_rule"})), "a rule set aside"
    for preference in PREFERENCES:
        yield Wish(prefer=preference), f"the client prefers {preference}"
    for lane in config.lanes:
        yield Wish(pin=lane.name), f"the client asks for {lane.name} by name"
        yield Wish(lanes=frozenset({lane.name})), f"a key for {lane.name} only"


def _states(config: Config) -> Iterator[tuple[dict[str, LaneState], str]]:
    names = [lane.name for lane in config.lanes]
    yield dict.fromkeys(names, LaneState.READY), "all lanes ready"
    for name in names:
        for others in (LaneState.FULL, LaneState.DOWN, LaneState.OFF):
            states = dict.fromkeys(names, others) | {name: LaneState.READY}
            yield states, f"all but {name} {others.name.lower()}"


def _tasks(rule: Rule, config: Config) -> Iterator[tuple[TaskReading, str]]:
    table = config.policy.table
    if rule.tier != "table" or table is None:
        yield TaskReading("other", 1.0), ""
        return
    rows = {(row.tier, row.threshold is not None): name for name, row in table.tasks.items()}
    for name in rows.values():
        yield TaskReading(name, 1.0), f", row {name}"


def _breaches(
    config: Config,
    rule: Rule,
    level: Sensitivity,
    wish: Wish,
    how: str,
    states: dict[str, LaneState],
    task: TaskReading,
) -> Iterator[Breach]:
    """Both ways to a class, found in the text or named by the client or key, both budgets, both ends of the gain."""
    for found, named in {(level, Sensitivity.PUBLIC), (Sensitivity.PUBLIC, level)}:
        for share, gain in ((0.0, 0.0), (1.0, 1.0)):
            signals = situation.signals(level=found, task=task, gain=gain, share=share)
            wanted = replace(wish, at_least=named)
            try:
                made = policy.decide(signals, situation.view(), wanted, states, config)
            except HttpError:
                continue
            for name in made.chain:
                lane = config.lane(name)
                if not lawful(level, lane, config.policy):
                    yield Breach(level, rule.name, how, made.chain, name, lane.location)


def lawful(level: Sensitivity, lane: Lane, rules: PolicyConfig) -> bool:
    """Whether data of this class may go to the lane: by the configuration, and confidential data never off premises."""
    if level is Sensitivity.CONFIDENTIAL and lane.location not in ON_PREMISES:
        return False
    wider = [rules.locations[other.label] for other in Sensitivity if other <= level]
    return all(lane.location in places for places in wider)


def _doubts(config: Config) -> Iterator[str]:
    rules = config.policy.rules
    for place, rule in enumerate(rules):
        if earlier := next((one for one in rules[:place] if one.when in (When(), rule.when)), None):
            yield f"rule {rule.name} never decides: {earlier.name} stands before it and always holds when it does"
    for level in Sensitivity:
        lanes = [lane for lane in config.lanes if lawful(level, lane, config.policy)]
        if not lanes:
            yield f"{level.label} data has no lane: every such request is refused"
        off = [f"{lane.name} ({why})" for lane in lanes if (why := off_because(lane))]
        if lanes and len(off) == len(lanes):
            yield f"{level.label} data has only lanes that are off now: {', '.join(off)}"
    yield from _empty_tiers(config)


def _empty_tiers(config: Config) -> Iterator[str]:
    tiers = {lane.tier for lane in config.lanes}
    for rule in config.policy.rules:
        if isinstance(rule.tier, int) and rule.tier not in tiers:
            yield f"rule {rule.name} wants tier {rule.tier}, and no lane has it"
    for name, row in (config.policy.table.tasks if config.policy.table else {}).items():
        if row.tier not in tiers:
            yield f"row {name} of the routing table wants tier {row.tier}, and no lane has it"
