"""The hot part of a configuration: what may change while Pointsman runs, and what needs a redeploy.

Hot are policy, signals, dispatch, limits, prices, budgets, sessions, cache, preambles, and of each lane its
switch and its price: they travel as `user_config`. Everything else is fixed. Knows how to take a configuration apart
and put it together. Starts nothing.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, JsonValue, ValidationError

from serve.cache.config import CacheConfig
from serve.config import (
    Config,
    DispatchConfig,
    LaneSwitch,
    Name,
    PolicyConfig,
    SignalsConfig,
    Strict,
    checked,
    mistakes,
)
from serve.errors import ConfigError
from serve.keys.config import LimitsConfig
from serve.ledger.config import BudgetsConfig, Prices
from serve.preambles.config import Preamble
from serve.sessions.config import SessionsConfig

SECTIONS = ("policy", "signals", "dispatch", "limits", "prices", "budgets", "sessions", "cache", "preambles")
SWITCHES = tuple(LaneSwitch.model_fields)
SOURCE = "user_config"
CONFIDENTIAL = ("signals.sensitivity.dictionary", "preambles")
"""Fields whose values are the operator's own words: no log and no terminal gets them."""

Values = dict[str, JsonValue]


class Hot(Strict):
    """`user_config` of Router and CloudProxy, once `_completed`: sections are whole or absent."""

    policy: PolicyConfig | None = None
    signals: SignalsConfig | None = None
    dispatch: DispatchConfig | None = None
    prices: Prices | None = None
    budgets: BudgetsConfig | None = None
    limits: LimitsConfig | None = None
    sessions: SessionsConfig | None = None
    cache: CacheConfig | None = None
    preambles: tuple[Preamble, ...] | None = None
    lanes: dict[Name, LaneSwitch] = Field(default_factory=dict)
    fixed: dict[str, str] | None = Field(
        None, description="fingerprints of the fixed parts it was written for; None: not compared"
    )


def part(config: Config) -> Values:
    """The hot part of `config`, ready to travel, with the fingerprints of its fixed parts."""
    values: dict[str, Any] = json.loads(config.canonical)
    lanes = {lane["name"]: {key: lane[key] for key in SWITCHES} for lane in values["lanes"]}
    return {name: values[name] for name in SECTIONS} | {"lanes": lanes, "fixed": {**fingerprints(config)}}


def applied(start: Config, user_config: JsonValue) -> Config:
    """`start` with what `user_config` gives; fields it leaves out stay. Raises ConfigError that names the fields."""
    if user_config is None:
        return start
    _require_hot(user_config)
    try:
        hot = Hot.model_validate(_completed(start, user_config))
    except ValidationError as error:
        raise ConfigError(mistakes(SOURCE, error)) from error
    if hot.fixed is not None:
        refuse(changed_names(fingerprints(start), hot.fixed))
    names = {lane.name for lane in start.lanes}
    if unknown := sorted(hot.lanes.keys() - names):
        raise ConfigError(f"{SOURCE}: lanes.{unknown[0]}: there is no such lane; a new lane needs a redeploy")
    values = {name: getattr(start, name) for name in Config.model_fields}
    values |= {name: given for name in SECTIONS if (given := getattr(hot, name)) is not None}
    values["lanes"] = tuple(
        lane.model_copy(update={key: getattr(hot.lanes[lane.name], key) for key in SWITCHES})
        if lane.name in hot.lanes
        else lane
        for lane in start.lanes
    )
    return checked(values, SOURCE)


def refuse(fields: list[str]) -> None:
    """Raise ConfigError when something changed that only a redeploy can change."""
    if fields:
        raise ConfigError(
            f"{', '.join(fields)}: fixed while Pointsman runs: needs a redeploy; nothing was changed"
        )


def fingerprints(config: Config) -> Mapping[str, str]:
    """A short hash of each fixed part, by its name: `server`, `engines.small`, `lanes.local-general`."""
    return {name: _hash(value) for name, value in _fixed(config).items()}


def fixed_changes(old: Config, new: Config) -> list[str]:
    """Fields that differ and are not hot, by path."""
    return [path for path, _, _ in _differences(_fixed(old), _fixed(new))]


def hot_changes(old: Config, new: Config) -> list[str]:
    """What changed in the hot part, one line each: `dispatch.idle_s: 30.0 -> 20.0`; of CONFIDENTIAL that it changed."""
    before, after = ({key: value for key, value in part(one).items() if key != "fixed"} for one in (old, new))
    return [
        f"{path}: changed" if path.startswith(CONFIDENTIAL) else f"{path}: {_short(a)} -> {_short(b)}"
        for path, a, b in _differences(before, after)
    ]


def changed_names(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Names whose fingerprints differ or stand on one side only."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _require_hot(user_config: JsonValue) -> None:
    """A fixed field in `user_config` is no misspelling: say so."""
    given = user_config if isinstance(user_config, dict) else {}
    lanes = given.get("lanes")
    inner = lanes if isinstance(lanes, dict) else {}
    refuse(
        [name for name in given if name in Config.model_fields and name not in Hot.model_fields]
        + [
            f"lanes.{name}.{key}"
            for name, lane in inner.items()
            for key in (lane if isinstance(lane, dict) else {})
            if key not in SWITCHES
        ]
    )


def _completed(start: Config, user_config: JsonValue) -> JsonValue:
    """Fields that a section leaves out, as `start` has them: to name only rules must not loosen the classes."""
    if not isinstance(user_config, dict):
        return user_config
    usual = part(start)
    whole = user_config | {
        name: _over(usual[name], user_config[name]) for name in SECTIONS if name in user_config
    }
    lanes, given = usual["lanes"], user_config.get("lanes")
    if isinstance(lanes, dict) and isinstance(given, dict):
        whole["lanes"] = {name: _over(lanes.get(name), lane) for name, lane in given.items()}
    return whole


def _over(usual: JsonValue, given: JsonValue) -> JsonValue:
    return usual | given if isinstance(usual, dict) and isinstance(given, dict) else given


def _fixed(config: Config) -> Values:
    values: dict[str, Any] = json.loads(config.canonical)
    lanes = {
        f"lanes.{lane['name']}": {key: value for key, value in lane.items() if key not in SWITCHES}
        for lane in values["lanes"]
    }
    engines = {f"engines.{name}": engine for name, engine in values["engines"].items()}
    rest = {key: values[key] for key in values.keys() - {*SECTIONS, "lanes", "engines"}}
    return rest | engines | lanes | {"the order of lanes": [lane.name for lane in config.lanes]}


Difference = tuple[str, JsonValue, JsonValue]


def _differences(old: JsonValue, new: JsonValue, path: str = "") -> Iterator[Difference]:
    before, after = _by_name(old), _by_name(new)
    if not isinstance(before, dict) or not isinstance(after, dict):
        if before != after:
            yield path, before, after
        return
    for key in dict.fromkeys([*before, *after]):
        yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    if isinstance(old, list) and before.keys() == after.keys() and [*before] != [*after]:
        yield f"{path} (order)", [*before], [*after]


def _by_name(value: JsonValue) -> JsonValue:
    """A list of named things (rules) as a mapping, so that a difference can be named."""
    if not isinstance(value, list):
        return value
    named = {str(one["name"]): one for one in value if isinstance(one, dict) and "name" in one}
    return {**named} if value and len(named) == len(value) else value


def _short(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _hash(value: JsonValue) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
