"""The log's tables, and how the faults of their database are told."""

import sqlite3

from sqlalchemy import BigInteger, Column, Index, MetaData, String, Table, Text
from sqlalchemy.exc import DBAPIError

TABLES = MetaData()

RECORDS = Table(
    "audit_records",
    TABLES,
    Column("chain", String(32), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(27), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("decision", String(128), nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)
Index("ix_audit_records_decision_kind", RECORDS.c.decision, RECORDS.c.kind)

HEADS = Table(
    "audit_heads",
    TABLES,
    Column("chain", String(32), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

KEYS = Table(
    "audit_keys",
    TABLES,
    Column("key", String(128), primary_key=True),
    Column("secret", String(64), nullable=False),
)


def words(error: Exception) -> str:
    """What went wrong, without values and addresses: it is shown to whoever asks /readyz."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):
        return str(error.orig)
    if isinstance(error, DBAPIError) and error.orig is not None:
        return f"the database refuses ({type(error.orig).__name__})"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
