"""Which lane may hear an answered request once more: never one that the decision did not permit. Pure."""

from serve.config import Config
from serve.decision import Decision
from serve.egress import Permit

_BARRED = frozenset({"class", "key", "off"})


def below(decision: Decision, lane: str, config: Config) -> tuple[str, ...]:
    """The first lane of each lower tier that the request might have gone to, the next lower first; or of that alone.

    The chain has only lanes that may take it: by class, key, context, capabilities and money. A client that asked
    for one lane by name has a chain of one.
    """
    tier = config.lane(lane).tier
    lower: dict[int, str] = {}
    for name in decision.chain:
        if config.lane(name).tier < tier:
            lower.setdefault(config.lane(name).tier, name)
    found = tuple(lower[one] for one in sorted(lower, reverse=True))
    return found if config.sweeps.reach == "all" else found[:1]


def judge(decision: Decision, lane: str, config: Config) -> str | None:
    """The judge's lane, where it may see the request and is not the one whose answer it would judge."""
    name = config.judge.lane
    if name is None or name == lane or config.lane(name).location not in decision.permit.locations:
        return None
    barred = any(one.lane == name and one.code in _BARRED for one in decision.excluded)
    return None if barred or not config.lane(name).enabled else name


def permit(decision: Decision, lane: str, config: Config) -> Permit:
    """The request's own permit for this lane's location alone."""
    return decision.permit.narrowed(frozenset({config.lane(lane).location}))
