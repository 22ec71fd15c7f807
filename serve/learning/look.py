"""`python -m serve.learning.look`: one look for a better table, in a process of its own beside a Router.

Reads an Order as JSON from its standard input and writes a Seen to its standard output. A search over a million
decisions takes seconds of a core: in the Router's own process it would hold up answers.
"""

import json
import os
import sys
import time
from dataclasses import asdict

from pydantic import BaseModel, ConfigDict

from serve.learning.desk import Tables
from serve.learning.propose import USUAL
from serve.learning.runs import Outcome
from serve.learning.store import TableRefused, TableStore, Told
from serve.routing_table import RoutingTable

WHO = "schedule"
DAYS = 28
"""How far back it learns from."""


class Order(BaseModel):
    """What to look at. `url` of the state database; `configured`: the table; `share` of a trial."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None
    configured: RoutingTable
    share: float


class Seen(BaseModel):
    """What came of it. `version` of the table that went on trial."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: Outcome
    why: str
    version: str | None = None


def look(order: Order, now: int) -> Seen:
    """Look, and put on trial what is proven better. Blocks. `now`: Unix milliseconds. Raises SQLAlchemyError."""
    store = TableStore(order.url)
    try:
        tables = Tables(store, order.configured)
        if (canary := tables.last().canary) is not None:
            return Seen(outcome="busy", why=f"{canary} is on trial")
        found = tables.search(now - DAYS * 86_400_000, USUAL)
        if found.table is None:
            return Seen(
                outcome="nothing", why=f"{found.decisions:,} decisions with a known outcome: {found.why}"
            )
        evidence = json.loads(json.dumps(asdict(found) | {"table": found.table.version}))
        try:
            tables.put_on_trial(found, order.share, Told(WHO, now, found.why, evidence))
        except TableRefused as error:
            return Seen(outcome="busy", why=str(error))
        return Seen(outcome="trial", why=found.why, version=found.table.version)
    finally:
        store.close()


if __name__ == "__main__":
    os.nice(10)
    sys.stdout.write(
        look(Order.model_validate_json(sys.stdin.read()), int(time.time() * 1000)).model_dump_json()
    )
