"""decide(): which lanes may answer one request, in which order, and why.

Pure: no I/O, no clock, no await. The same inputs give the same decision, so a decision can be replayed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from serve import reasons
from serve.config import Config, Lane, Rule, When
from serve.decision import Decision, Exclusion, LaneState, Reason
from serve.egress import Permit
from serve.exclusions import exclusions, nobody
from serve.ledger.money import micro
from serve.request import RequestView
from serve.routing_table import Choice
from serve.signals import task
from serve.signals.readings import Sensitivity, SessionReading, Signals, TaskReading, TaskType
from serve.wish import Preference, Wish


def decide(
    signals: Signals, view: RequestView, wish: Wish, states: Mapping[str, LaneState], config: Config
) -> Decision:
    """The decision for one request.

    Raises EgressDenied, KeyForbids, NoLaneAble, NoLaneAvailable or BudgetExceeded when nobody may, can, could or
    can be paid to answer.
    """
    level = max(signals.sensitivity.level, wish.at_least)
    permit = Permit(level, config.policy.permits(level), wish.exempt)
    excluded = tuple(exclusions(signals, view, wish, permit, states, config))
    shut_out = {item.lane: item for item in excluded}
    if view.embeds:
        return _embedding(wish, permit, excluded, states, signals, config)
    rule = next(rule for rule in config.policy.rules if holds(rule.when, signals, view, wish))
    choice = _choice(rule, signals, config)
    wanted = _order(rule, wish, config, choice.tier if choice else rule.tier)
    scarce = signals.budget.share >= config.budgets.downgrade_at and not wish.pin
    if scarce:
        costs = dict(signals.budget.costs)
        wanted.sort(key=lambda name: costs.get(name, 0))
    open_lanes = [name for name in wanted if name not in shut_out]
    if not open_lanes:
        raise nobody(wanted, shut_out, permit, signals.budget)
    stays = None if scarce else _stays(rule, wish, signals.session, open_lanes)
    if stays is not None:
        for names in (wanted, open_lanes):
            names.insert(0, names.pop(names.index(stays.lane)))
    chain = tuple(sorted(open_lanes, key=lambda name: states[name]))
    why = (
        *reasons.placing(
            Reason(rule.name, rule.because), wish, wanted, open_lanes, chain, shut_out, states, signals, stays
        ),
        *reasons.row(choice, wish),
        *reasons.thrift(signals, scarce),
        *reasons.doubts(signals, config),
        *reasons.exempted(signals),
    )
    spilled_from = open_lanes[0] if chain[0] != open_lanes[0] else None
    review = _review(level, signals, view, wish, config)
    by_rule = None if wish.pin or wish.prefer else rule.name
    by_table = None if wish.pin or wish.prefer or scarce or stays else choice
    return Decision(chain, permit, why, excluded, config.version, spilled_from, by_table, review, by_rule)


_EMBEDDINGS = Reason(
    "embeddings", "Embeddings: the first lane that may make them, and others of the same model."
)


def _embedding(
    wish: Wish,
    permit: Permit,
    excluded: tuple[Exclusion, ...],
    states: Mapping[str, LaneState],
    signals: Signals,
    config: Config,
) -> Decision:
    """The decision for a request for vectors: no rule applies, and nobody reviews them.

    The vectors of two models do not compare, so the chain has lanes of one model. Which one follows from what the
    request is, not from who is up or what is left to spend.
    """
    shut_out = {item.lane: item for item in excluded}
    wanted = [wish.pin] if wish.pin else _encoders(wish, config)
    first = next((name for name in wanted if name not in shut_out or shut_out[name].code in _PASSING), None)
    model = None if first is None else _model(first, config)
    family = [name for name in wanted if _model(name, config) == model] if model else wanted
    open_lanes = [name for name in family if name not in shut_out]
    if not open_lanes:
        raise nobody(family or [lane.name for lane in config.lanes], shut_out, permit, signals.budget)
    chain = tuple(sorted(open_lanes, key=lambda name: states[name]))
    told = reasons.placing(_EMBEDDINGS, wish, wanted, open_lanes, chain, shut_out, states, signals, None)
    why = (*told, *reasons.exempted(signals))
    spilled_from = open_lanes[0] if chain[0] != open_lanes[0] else None
    return Decision(chain, permit, why, excluded, config.version, spilled_from)


_PASSING = frozenset({"off", "budget"})


def _encoders(wish: Wish, config: Config) -> list[str]:
    """Lanes that make embeddings, in the order of the configuration, what the client prefers first."""
    lanes = [lane for lane in config.lanes if lane.embeddings]
    lanes = [lane for lane in lanes if wish.model in (None, _model(lane.name, config))]
    if wish.prefer is not None:
        lanes.sort(key=lambda lane: not _matches(wish.prefer, lane))
    return [lane.name for lane in lanes]


def _model(name: str, config: Config) -> str | None:
    lane = config.lane(name)
    return None if lane.kind == "engine" else lane.model


def fallbacks(rule: Rule, level: Sensitivity, config: Config) -> tuple[str, ...]:
    """Lanes that may answer data of this class under this rule, in order, whether they are on or off.

    A rule that asks the routing table is shown with the row `other`.
    """
    permitted = config.policy.permits(level)
    table = config.policy.table
    tier = table.tasks["other"].tier if rule.tier == "table" and table else rule.tier
    order = _order(rule, Wish(), config, tier)
    return tuple(name for name in order if config.lane(name).location in permitted)


def scout_matters(
    signals: Signals, view: RequestView, wish: Wish, states: Mapping[str, LaneState], config: Config
) -> bool:
    """Whether another opinion on difficulty or task could still change the first lane, or who must approve."""
    opinions = (decide(one, view, wish, states, config) for one in _opinions(signals, view, config))
    return len({(made.chain[0], made.review) for made in opinions}) > 1


_CLASSES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def _opinions(signals: Signals, view: RequestView, config: Config) -> Iterator[Signals]:
    """Every judgement that some rule could tell apart from another."""
    rules: list[When] = [rule.when for rule in config.policy.rules]
    rules += [rule.when for rule in config.policy.review]
    asked = any(when.difficulty or when.confidence_at_least is not None for when in rules)
    limits = {when.confidence_at_least for when in rules if when.confidence_at_least is not None}
    tasks: set[TaskType] = {name for when in rules for name in when.task or ()} | _alike(rules, config)
    guesses = [TaskReading(name, 1.0) for name in sorted(tasks)] + (
        [TaskReading("other", 1.0)] if tasks else []
    )
    readings = {task.settle(view, guess) for guess in guesses} or {signals.task}
    for reading in sorted(readings, key=lambda item: item.task):
        for trivial, standard, hard in _CLASSES if asked else _CLASSES[:1]:
            for confidence in sorted({0.0, 1.0, *limits}) if asked else [1.0]:
                judged = replace(
                    signals.scout, trivial=trivial, standard=standard, complex=hard, confidence=confidence
                )
                yield replace(signals, scout=judged, task=reading)


def _alike(rules: Iterable[When], config: Config) -> set[TaskType]:
    """One task of each kind that the rows of the table, or the rules, tell apart."""
    table = config.policy.table
    if table is None:
        return set()
    named = {name for when in rules for name in when.task or ()}
    rows = {(row.tier, row.threshold, name in named): name for name, row in table.tasks.items()}
    return set(rows.values())


def holds(when: When, signals: Signals, view: RequestView, wish: Wish) -> bool:
    """Whether every condition that is given holds."""
    scout, ceiling = signals.scout, signals.budget.ceiling
    checks = (
        when.input_tokens_over is None or signals.context.input_tokens > when.input_tokens_over,
        when.constraints_over is None or signals.constraints.count > when.constraints_over,
        when.difficulty is None or scout.difficulty in when.difficulty,
        when.confidence_at_least is None or scout.confidence >= when.confidence_at_least,
        when.gain_at_least is None or scout.gain >= when.gain_at_least,
        when.task is None or signals.task.task in when.task,
        when.tools is None or bool(view.tool_names) is when.tools,
        when.structured is None or view.structured is when.structured,
        when.stakes is None or wish.stakes in when.stakes,
        when.latency is None or wish.latency in when.latency,
        when.ceiling_below_usd is None or (ceiling is not None and ceiling < micro(when.ceiling_below_usd)),
    )
    return all(checks)


def _review(
    level: Sensitivity, signals: Signals, view: RequestView, wish: Wish, config: Config
) -> Reason | None:
    for rule in config.policy.review:
        if level >= rule.when.level and holds(rule.when, signals, view, wish):
            return Reason(rule.name, rule.because)
    return None


def _choice(rule: Rule, signals: Signals, config: Config) -> Choice | None:
    table = config.policy.table
    return table.choose(signals.task, signals.scout) if rule.tier == "table" and table else None


def _order(rule: Rule, wish: Wish, config: Config, tier: int | str | None) -> list[str]:
    if wish.pin:
        return [wish.pin]
    names = list(dict.fromkeys([*rule.prefer, *(lane.name for lane in config.lanes if not lane.embeddings)]))
    if isinstance(tier, int):
        names.sort(key=lambda name: _distance(config.lane(name).tier, tier))
    if wish.prefer is None:
        return names
    return sorted(names, key=lambda name: not _matches(wish.prefer, config.lane(name)))


def _stays(
    rule: Rule, wish: Wish, session: SessionReading | None, open_lanes: list[str]
) -> SessionReading | None:
    """The session whose lane comes before what the rule would choose, None where the rule's order stands."""
    if session is None or session.lane not in open_lanes[1:] or wish.pin or wish.prefer:
        return None
    usual = rule.name == session.rule or rule.when == When()
    return session if (usual if rule.sticky is None else rule.sticky) else None


def _distance(tier: int, wanted: int) -> int:
    """The wanted tier first, then the stronger ones, then the weaker ones."""
    return tier - wanted if tier >= wanted else 10 + wanted - tier


def _matches(preference: Preference | None, lane: Lane) -> bool:
    if preference == "cloud":
        return lane.location in ("eu", "global")
    return lane.tier >= (3 if preference == "tier3" else 2)
