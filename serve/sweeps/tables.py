"""The table of sweeps. Money in micro-dollars, times in Unix milliseconds, no content."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table

TABLES = MetaData()

RESULTS = Table(
    "sweep_results",
    TABLES,
    Column("id", String, primary_key=True),
    Column("decision_id", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("sweep", String, nullable=False),
    Column("task", String, nullable=False),
    Column("data_class", String, nullable=False),
    Column("policy_version", String, nullable=False),
    Column("from_lane", String, nullable=False),
    Column("from_tier", Integer, nullable=False),
    Column("to_lane", String, nullable=False),
    Column("to_tier", Integer, nullable=False),
    Column("verdict", String, nullable=False),
    Column("agreement", Float),
    Column("score", Float),
    Column("good", Boolean),
    Column("cost", BigInteger, nullable=False),
    Column("judge_cost", BigInteger, nullable=False),
    Index("sweep_results_by_time", "at"),
    Index("sweep_results_by_cell", "sweep", "task", "from_tier", "to_tier"),
)
