"""The tables of outcomes. Money in micro-dollars, times in Unix milliseconds, no content.

What an attempt cost is in `ledger_attempts`, by decision_id; here is every attempt, those that cost nothing too.
"""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, false

TABLES = MetaData()

DECISIONS = Table(
    "decisions",
    TABLES,
    Column("decision_id", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("key", String, nullable=False),
    Column("team", String),
    Column("session", String),
    Column("data_class", String, nullable=False),
    Column("task", String, nullable=False),
    Column("tier", Integer),
    Column("location", String),
    Column("lane", String),
    Column("policy_version", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("difficulty", String, nullable=False),
    Column("judge", String, nullable=False),
    Column("constraint_count", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("billed", BigInteger, nullable=False),
    Column("baseline", BigInteger, nullable=False),
    Column("latency_ms", BigInteger, nullable=False),
    Column("first_ms", BigInteger),
    Column("overhead_ms", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fallbacks", Integer, nullable=False),
    Column("escalations", Integer, nullable=False),
    Column("spilled", Boolean, nullable=False),
    Column("verdict", String),
    Column("error", String),
    Column("stream", Boolean, nullable=False),
    Column("reviewed", Boolean, nullable=False),
    Column("retried", Boolean, nullable=False, default=False, server_default=false()),
    Index("decisions_by_time", "at"),
)

STEPS = Table(
    "decision_attempts",
    TABLES,
    Column("decision_id", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),  # of the decision
    Column("lane", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("ms", BigInteger, nullable=False),
    Index("decision_attempts_by_time", "at"),
)

SCOUT = Table(
    "decision_scout",
    TABLES,
    Column("decision_id", String, primary_key=True),
    Column("at", BigInteger, nullable=False),  # of the decision
    Column("ms", Float, nullable=False),  # that the Scout was waited for; only where it was asked
    Index("decision_scout_by_time", "at"),
)

FEEDBACK = Table(
    "decision_feedback",
    TABLES,
    Column("decision_id", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("success", Boolean, nullable=False),
    Column("quality", Float),
    Column("label", String),
    Column("source", String),
    Column("correction_minutes", Float, nullable=False),
    Column("key", String, nullable=False),  # the name of the key that said so
    Column("reviewer", Boolean, nullable=False),
)

SAMPLED = Table(
    "decision_sweeps",
    TABLES,
    Column("decision_id", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("lanes", Integer, nullable=False),  # tiers that had a lane for it: 1, 2 and 4 added up
    Column("s1", Float, nullable=False),  # how likely it was that this tier would be asked
    Column("s2", Float, nullable=False),
    Index("decision_sweeps_by_time", "at"),
)

CHOICES = Table(
    "decision_choices",
    TABLES,
    Column("decision_id", String, primary_key=True),
    Column("at", BigInteger, nullable=False),  # of the decision
    Column("table", String, nullable=False),
    Column("lot", String, nullable=False),
    Column("trial", Integer),
    Column("apart", Boolean, nullable=False),
    Column("task", String, nullable=False),
    Column("gain", Float, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("p1", Float, nullable=False),
    Column("p2", Float, nullable=False),
    Column("p3", Float, nullable=False),
    Index("decision_choices_by_time", "at"),
    Index("decision_choices_by_trial", "trial", "at"),
)
