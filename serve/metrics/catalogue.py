"""Every metric there is: its name, what it means, its labels. Label values come from the configuration and from codes.

Knows names. Counts nothing.
"""

from dataclasses import dataclass
from typing import Literal

Merge = Literal["sum", "max", "min"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` as Prometheus shows it; `merge`: one gauge of several Routers."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Merge = "sum"


def _count(name: str, text: str, *labels: str) -> Metric:
    return Metric(f"pointsman_{name}_total", "counter", text, labels)


def _gauge(name: str, text: str, *labels: str, merge: Merge = "sum") -> Metric:
    return Metric(f"pointsman_{name}", "gauge", text, labels, merge=merge)


def _spread(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Metric:
    return Metric(f"pointsman_{name}_seconds", "histogram", text, labels, buckets)


SHORT = (0.0001, 0.0003, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.25, 1.0, 5.0)
LONG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)

REQUESTS = _count(
    "requests",
    "Requests that were decided, by the lane that answered (`none`), `ok` or the code of the error, the reason that "
    "weighed most, and the class of the data",
    "lane",
    "outcome",
    "reason",
    "class",
)
PLACES = _count("answers", "Answered requests, by task and where: `local` or `cloud`", "task", "place")
REFUSALS = _count("refusals", "Requests that got an error, by its code", "code")
ATTEMPTS = _count("attempts", "Lanes asked, by how it went", "lane", "outcome")
FALLBACKS = _count(
    "fallbacks",
    "Requests for which another lane was asked after one had failed, by task and the first failure",
    "task",
    "cause",
)
ESCALATIONS = _count(
    "escalations", "Requests for which another lane was asked although one had answered", "cause"
)
SPILLS = _count("spills", "Requests that went past a lane because it was full or not there", "lane")
REPAIRS = _count("repairs", "Answers that a rule could mend", "lane")
REASKS = _count("reasks", "Answers that came right when asked for once more along a grammar", "lane")
INVALID = _count("validation_failures", "Answers that were not what was asked for", "lane")
STREAMS = _count("streams", "Streams that had begun, by how they ended", "lane", "end")
COST = _count("cost_microusd", "Cost of all attempts in millionths of a US dollar", "lane")
ALWAYS_CLOUD = _count(
    "always_cloud_microusd",
    "What the same answers would have cost at the lane of always-cloud (`outcomes.baseline`), as in the report",
)
TOKENS = _count("tokens", "Tokens of all attempts, by kind: `input`, `cached` (part of input), `output`",
                "lane", "kind")  # fmt: skip
BUDGET = _count("budget_refusals", "Lanes not asked because a budget had no room for them", "lane")
UNLEDGERED = _count("ledger_refusals", "Lanes not asked because the ledger was down", "lane")
KEY_REQUESTS = _count("key_requests", "Requests by key name; only with `metrics.by_key`", "key")
KEY_COST = _count("key_cost_microusd", "Cost by key name; only with `metrics.by_key`", "key")
SHADOWS = _count(
    "shadow_calls",
    "Calls of `sweeps` and the `judge` in the background, by how they ended, and samples that were not asked about",
    "purpose",
    "outcome",
)
LEARNING = _count(
    "learning_runs",
    "Looks for a better routing table on schedule, by what came of them: `trial`, `nothing`, `busy`, `failed`",
    "outcome",
)
AUDIT_FAILURES = _count("audit_write_failures", "Writes of the audit log that failed")
AUDIT_LOST = _count("audit_lost", "Records of the audit log that were not written")
SIGNAL_FAILURES = _count("signal_failures", "Signals that failed or were late", "signal")

SIGNAL = _spread("signal", "Time of one signal", SHORT, "signal")
STAGE = _spread(
    "stage",
    "Time of one stage: `parse`, `view`, `signals`, `policy`, `audit` (waiting for the intent), `ledger` (waiting for "
    "one reservation), `hop` (until a lane took the call), `upstream` (from there to its first words or whole answer), "
    "`verdict`, `serialise` (an answer in one piece; with /v1/responses keeping it, too)",
    (*SHORT, 20.0, 80.0, 300.0),
    "stage",
)
OVERHEAD = _spread("overhead", "Time of a request that no lane is responsible for", SHORT)
FIRST_TOKEN = _spread("first_token", "Time until the first content of a stream", LONG, "place")
ANSWER = _spread("answer", "Time until an answer in one piece", LONG, "place")

IN_FLIGHT = _gauge("in_flight", "Calls a lane is working on or has in its queue", "lane")
WAIT = _gauge("predicted_wait_seconds", "Time one more call would wait, as guessed", "lane", merge="max")
READY = _gauge("lane_ready", "Routers that see the lane ready", "lane")
AUDIT_UP = _gauge(
    "audit_up", "1: the audit log can be written, or is switched off; 0 on any Router: 0", merge="min"
)
LEDGER_UP = _gauge(
    "ledger_up", "1: the ledger can be written, or was not needed yet; 0 on any Router: 0", merge="min"
)
RELOAD_REFUSED = _gauge("reload_refused", "1: the last change of the configuration was refused", merge="max")
REVIEWS = _gauge("reviews_waiting", "Answers that wait for a reviewer", merge="max")
ROUTERS = _gauge("routers", "Routers whose numbers are merged here and that are alive", merge="max")
MERGED = _gauge(
    "metrics_merged", "1: the numbers of all Routers; 0: the database is away, these may be old", merge="max"
)

CPST = _gauge(
    "cpst_usd",
    "US dollars per successful task in the last `metrics.cpst_hours`, by `task`, `tier`, `lane`, in `total`, and where "
    "that is configured by `key` and `session`",
    "by",
    "group",
    merge="max",
)
CPST_LOW = _gauge("cpst_low_usd", "Lower end of its 95 % interval", "by", "group", merge="max")
CPST_HIGH = _gauge("cpst_high_usd", "Upper end of its 95 % interval", "by", "group", merge="max")
SUCCESSES = _gauge(
    "successes", "Decisions that count as a success in the same time", "by", "group", merge="max"
)
DECISIONS = _gauge("decisions", "All decisions of the same time", "by", "group", merge="max")

CATALOGUE = (
    REQUESTS, PLACES, REFUSALS, ATTEMPTS, FALLBACKS, ESCALATIONS, SPILLS, REPAIRS, REASKS, INVALID, STREAMS, COST,
    ALWAYS_CLOUD, TOKENS, BUDGET, UNLEDGERED, KEY_REQUESTS, KEY_COST, SHADOWS, LEARNING, AUDIT_FAILURES,
    AUDIT_LOST, SIGNAL_FAILURES, SIGNAL, STAGE, OVERHEAD, FIRST_TOKEN, ANSWER, IN_FLIGHT, WAIT, READY, AUDIT_UP,
    LEDGER_UP, RELOAD_REFUSED, REVIEWS, ROUTERS, MERGED, CPST, CPST_LOW, CPST_HIGH, SUCCESSES, DECISIONS,
)  # fmt: skip
BY_NAME = {metric.name: metric for metric in CATALOGUE}


def series_names() -> frozenset[str]:
    """Every name that a query may use."""
    plain = {m.name for m in CATALOGUE if m.kind != "histogram"}
    spread = {f"{m.name}{end}" for m in CATALOGUE if m.kind == "histogram" for end in _ENDS}
    return frozenset(plain | spread)


_ENDS = ("_bucket", "_sum", "_count")
