"""The ledger's tables. All money in micro-dollars, all times in Unix milliseconds."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, SmallInteger, String, Table

TABLES = MetaData()

BALANCES = Table(
    "ledger_balances",
    TABLES,
    Column("account", String, primary_key=True),  # scope@period
    Column("scope", String, nullable=False),
    Column("period", String, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Index("ledger_balances_by_period", "period"),
)

RESERVATIONS = Table(
    "ledger_reservations",
    TABLES,
    Column("id", String, primary_key=True),
    Column("accounts", String, nullable=False),  # a JSON list
    Column("amount", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("decision_id", String, nullable=False),
    Column("lane", String, nullable=False),
    Column("payer", String, nullable=False),
    Index("ledger_reservations_by_end", "state", "expires_at"),
)

ATTEMPTS = Table(
    "ledger_attempts",
    TABLES,
    Column("id", String, primary_key=True),
    Column("decision_id", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("payer", String, nullable=False),  # the key's name
    Column("team", String),
    Column("session", String),  # a hash
    Column("lane", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("input_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("output_tokens", Integer, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("certain", Boolean, nullable=False),  # the provider's own count, not a worst case or an estimate
    Column("billed", Boolean, nullable=False),
    Column("prices", String, nullable=False),  # the version of the prices
    Index("ledger_attempts_by_time", "at"),
    Index("ledger_attempts_by_decision", "decision_id"),
)
