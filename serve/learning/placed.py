"""Which routing tables are in force: values that travel from the database to the Router. Imports no database."""

import hashlib
from dataclasses import dataclass, replace

from serve.routing_table import RoutingTable


@dataclass(frozen=True, slots=True)
class Placed:
    """What one change left in force.

    seq      number of the change
    current  None: the configured table
    canary   the table on trial, which decides `share` (0 to 1) of the requests
    worth    micro-dollars that one more success may cost; a trial is judged by it
    """

    seq: int
    current: RoutingTable | None
    canary: RoutingTable | None
    share: float
    worth: float

    def without_canary(self) -> "Placed":
        """The same while nobody can judge a trial."""
        return replace(self, canary=None, share=0.0)


def base_of(table: RoutingTable) -> str:
    """A short name of what a configured table says: tables learned for another one are not used with it."""
    return hashlib.sha256(table.model_dump_json().encode()).hexdigest()[:16]
