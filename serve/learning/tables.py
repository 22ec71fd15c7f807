"""The tables of learning: every routing table that ever was, and every change of what is in force. Nothing is updated.

Times in Unix milliseconds. `base` is the short name of the configured table that a learned one was made for.
"""

from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table, Text

TABLES = MetaData()

VERSIONS = Table(
    "routing_tables",
    TABLES,
    Column("version", String, primary_key=True),
    Column("base", String, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", String, nullable=False),
    Column("why", Text, nullable=False),
    Column("document", Text, nullable=False),  # the table as JSON
    Column("evidence", Text, nullable=False),  # JSON
)

CHANGES = Table(
    "routing_table_changes",
    TABLES,
    # Not given by the database: of two who change the same state at once one fails.
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("base", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("what", String, nullable=False),
    Column("who", String, nullable=False),
    Column("why", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON
    # What is in force from here on. None: the configured table, and no canary.
    Column("current", String),
    Column("canary", String),
    Column("share", Float, nullable=False),
    Column("worth", Float, nullable=False),
)

RUNS = Table(
    "routing_table_runs",
    TABLES,
    Column("base", String, primary_key=True),
    Column("period", String, primary_key=True),  # the day or week that it was due in
    Column("at", BigInteger, nullable=False),  # begun
    Column("who", String, nullable=False),
    Column("ended", BigInteger),
    Column("outcome", String),
    Column("why", Text),
    Column("version", String),  # the table that went on trial
)
