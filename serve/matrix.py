"""What a configuration allows: every class against every lane, and who follows whom. Knows no request."""

from pydantic import JsonValue

from serve import policy
from serve.config import Config, Lane
from serve.exclusions import off_because
from serve.signals.readings import Sensitivity


def as_json(config: Config) -> dict[str, JsonValue]:
    """Per class the permitted locations, each lane with its verdict, the chain of each rule, and the reviews."""
    classes: dict[str, JsonValue] = {level.label: _class(level, config) for level in Sensitivity}
    return {"policy_version": config.version, "classes": classes}


def _class(level: Sensitivity, config: Config) -> dict[str, JsonValue]:
    reviews = [rule for rule in config.policy.review if level >= rule.when.level]
    return {
        "locations": [*sorted(config.policy.permits(level))],
        "lanes": [_lane(lane, level, config) for lane in config.lanes],
        "chains": [
            {"rule": rule.name, "chain": [*policy.fallbacks(rule, level, config)]}
            for rule in config.policy.rules
        ],
        "reviews": [{"rule": rule.name, "because": rule.because} for rule in reviews],
    }


def _lane(lane: Lane, level: Sensitivity, config: Config) -> dict[str, JsonValue]:
    may = lane.location in config.policy.permits(level)
    return {
        "lane": lane.name,
        "location": lane.location,
        "may": may,
        "by": f"policy.locations.{level.label} {'has' if may else 'has not'} {lane.location}",
        "off": off_because(lane),
    }
