"""Retention: remove the oldest records of a chain as a whole, and leave a checkpoint record that says so.

The checkpoint stands in the chain of whoever removed them, with the hash of the last record removed: what is left is
verified from there.
"""

import json
from collections.abc import Iterator

from sqlalchemy import Connection, delete, func, select, text

from serve.audit.chain import Chain
from serve.audit.records import Checkpoint, Draft
from serve.audit.tables import HEADS, RECORDS

_REMOVING = (
    0x61756469  # PostgreSQL's lock for "old records are being removed"; any number that nobody else uses
)


def step(connection: Connection, chain: Chain, before: str, most: int) -> int:
    """Remove up to `most` records of one chain that are older than `before`; how many, 0 when none are left.

    Within the transaction of `connection`. Raises SQLAlchemyError; then throw the chain away.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _REMOVING})
    for old in (
        connection.execute(select(RECORDS.c.chain).where(RECORDS.c.at < before).distinct()).scalars().all()
    ):
        if removed := _trim(connection, chain, old, before, most):
            return removed
    return 0


def _trim(connection: Connection, chain: Chain, old: str, before: str, most: int) -> int:
    mine = RECORDS.c.chain == old
    first, last = connection.execute(
        select(func.min(RECORDS.c.seq), func.max(RECORDS.c.seq)).where(mine)
    ).one()
    # Only from the front: a clock that was set back must not tear a hole.
    young = connection.execute(select(func.min(RECORDS.c.seq)).where(mine, RECORDS.c.at >= before)).scalar()
    upto: int = min(last if young is None else young - 1, first + most - 1)
    if upto < first:
        return 0
    hash_ = connection.execute(select(RECORDS.c.hash).where(mine, RECORDS.c.seq == upto)).scalar_one()
    left = Checkpoint(of=old, upto=upto, last=hash_, removed=upto - first + 1)
    chain.append(connection, [Draft.of(left), *_still_needed(connection, old, upto)])
    connection.execute(delete(RECORDS).where(mine, RECORDS.c.seq <= upto))
    if upto == last:
        connection.execute(delete(HEADS).where(HEADS.c.chain == old))
    return left.removed


def _still_needed(connection: Connection, old: str, upto: int) -> Iterator[Draft]:
    """Checkpoints among the records to be removed whose chains go on: they are written again."""
    wanted = (RECORDS.c.chain == old, RECORDS.c.seq <= upto, RECORDS.c.kind == "checkpoint")
    for body in connection.execute(select(RECORDS.c.body).where(*wanted)).scalars().all():
        record = json.loads(body)
        sheet = Checkpoint.model_validate({name: record[name] for name in Checkpoint.model_fields})
        goes_on = (
            select(RECORDS.c.seq).where(RECORDS.c.chain == sheet.of, RECORDS.c.seq > sheet.upto).limit(1)
        )
        if sheet.of != old and connection.execute(goes_on).scalar() is not None:
            yield Draft.of(sheet.model_copy(update={"removed": 0}))
