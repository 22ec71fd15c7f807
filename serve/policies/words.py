"""A whole policy as plain sentences, for somebody who answers for it and reads no YAML."""

from collections.abc import Iterable, Iterator

from serve import policy
from serve.config import Config, EngineLane, Lane, Rule, When
from serve.exclusions import off_because
from serve.ledger.prices import price_of
from serve.signals.readings import Sensitivity

PLACES = {
    "device": "on this machine",
    "private": "in our own network",
    "eu": "at a provider in the EU",
    "global": "at a provider anywhere in the world",
}
TIERS = {1: "local general", 2: "local heavy or mid-tier cloud", 3: "frontier"}
WHO_WAITS = {
    "interactive": "a person waits for it",
    "background": "nobody waits for it now",
    "batch": "it is batch work",
}


def explain(config: Config) -> str:
    """The policy in sections, each with a heading."""
    sections = (
        ("Where data may go", _places(config)),
        ("Who can answer", _lanes(config)),
        ("Who answers first", _rules(config)),
        ("Routing table", _table(config)),
        ("What a client may ask for", _wishes(config)),
        ("Money", _money(config)),
        ("What a person must see first", _reviews(config)),
    )
    told = [(title, [*lines]) for title, lines in sections]
    texts = [f"{title}\n" + "\n".join(f"  {line}" for line in lines) for title, lines in told if lines]
    return "\n\n".join([*texts, f"This is policy {config.version[:12]}."])


def _places(config: Config) -> Iterator[str]:
    for level in reversed(Sensitivity):
        places = [text for name, text in PLACES.items() if name in config.policy.permits(level)]
        nowhere = "Nobody may answer it." if not places else f"It may be answered {_either(places)}."
        yield f"{level.label.capitalize()} data: {nowhere}"
    yield "If the class of a request cannot be found out, it counts as confidential."
    yield "No rule, wish, price or failure changes this: a lane that may not have the data is never asked."


def _lanes(config: Config) -> Iterator[str]:
    for lane in config.lanes:
        model = lane.engine if isinstance(lane, EngineLane) else lane.model
        off = off_because(lane)
        yield (
            f"{lane.name} ({model}) answers {PLACES[lane.location]}. It is tier {lane.tier} ({TIERS[lane.tier]}), "
            f"holds {lane.context:,} tokens and {_cost(lane, config)}."
            + (f" It is off now: {off}." if off else "")
        )


def _cost(lane: Lane, config: Config) -> str:
    price = price_of(lane, config)
    if price is None or not (price.input or price.output):
        return "costs nothing per request"
    return f"costs ${price.input:.2f} for a million tokens read and ${price.output:.2f} for a million written"


def _rules(config: Config) -> Iterator[str]:
    rules = config.policy.rules
    if len(rules) > 1:
        yield "The first of these that holds decides:"
    for number, rule in enumerate(rules, 1):
        start = f"{number}. " if len(rules) > 1 else ""
        yield f"{start}{_if(rule.when)}, {_first(rule, config)}. Why: {rule.because} [{rule.name}]"
    yield "A lane that is full, down or switched off gives way to the next one that may have the data."


def _first(rule: Rule, config: Config) -> str:
    if rule.tier == "table":
        return "the routing table below says which tier answers first"
    names = policy.fallbacks(rule, Sensitivity.PUBLIC, config)
    tier = f"tier {rule.tier} answers first: " if rule.tier else "it goes to "
    shown = names if rule.tier else rule.prefer
    rest = "" if len(shown) == len(config.lanes) else ", then the others"
    return f"{tier}{', then '.join(shown)}{rest}"


def conditions(when: When) -> list[str]:
    """Each condition that is given, in words."""
    found = (
        (when.input_tokens_over, f"it has more than {when.input_tokens_over or 0:,} tokens"),
        (when.constraints_over, f"it makes more than {when.constraints_over} strict demands at once"),
        (when.difficulty, f"it looks {_either(sorted(when.difficulty or ()))}"),
        (when.confidence_at_least, f"that is at least {when.confidence_at_least or 0:.0%} sure"),
        (when.gain_at_least,
         f"a strong model is right where a weak one is wrong with a probability of {when.gain_at_least or 0:.0%} "
         "or more"),
        (when.task, f"the task is {_either(sorted(name.replace('_', ' ') for name in when.task or ()))}"),
        (when.tools, "tools are offered" if when.tools else "no tools are offered"),
        (when.structured,
         "the answer must match a JSON shape" if when.structured else "the answer is free text"),
        (when.stakes, f"its stakes are {_either(sorted(when.stakes or ()))}"),
        (when.latency, _either([WHO_WAITS[name] for name in sorted(when.latency or ())])),
        (when.ceiling_below_usd, f"it may cost less than ${when.ceiling_below_usd} at most"),
    )  # fmt: skip
    return [text for given, text in found if given is not None]


def _if(when: When) -> str:
    found = conditions(when)
    return f"If {' and '.join(found)}" if found else "In every other case"


def _table(config: Config) -> Iterator[str]:
    table = config.policy.table
    if table is None:
        return
    yield f"Version {table.version}. A task less than {table.sure_at:.0%} certain counts as `other`."
    for name, row in table.tasks.items():
        more = (
            f", one tier higher where the likely gain is {row.threshold:.0%} or more"
            if row.threshold is not None and row.tier < 3
            else ""
        )
        behind = f"{row.evidence:,} scored prompts" if row.evidence else "a judgement, no measurement"
        yield f"{name.replace('_', ' ').capitalize()}: tier {row.tier}{more} (behind it: {behind})."


def _wishes(config: Config) -> Iterator[str]:
    yield "A client may ask for one lane by name; it still gets no lane that may not have the data."
    if config.policy.overrides:
        yield "It may ask for the cloud or a tier first, by a header or a prefix such as [cloud]."
    else:
        yield "It may not ask for the cloud or a tier: headers and prefixes do nothing."
    yield "It may make the class of its data stricter. A key can take away the right to choose lanes."
    yield "A key may be given the right to set named detection rules aside; each time is in the audit log."


def _money(config: Config) -> Iterator[str]:
    budgets = config.budgets
    if budgets.request is not None:
        yield f"One request may cost ${budgets.request} at most at providers."
    yield (
        f"From {budgets.downgrade_at:.0%} of a budget on, lanes that cost less come first; "
        "when it is used up, only lanes that cost nothing answer."
    )


def _reviews(config: Config) -> Iterator[str]:
    for rule in config.policy.review:
        found = conditions(rule.when)
        if rule.when.level > Sensitivity.PUBLIC:
            found.insert(0, f"the data is {rule.when.level.label} or stricter")
        start = f"If {' and '.join(found)}" if found else "Always"
        yield f"{start}, a reviewer approves the answer before anybody gets it. Why: {rule.because} [{rule.name}]"


def _either(words: Iterable[str]) -> str:
    *most, last = [*words] or ["nothing"]
    return f"{', '.join(most)} or {last}" if most else last
