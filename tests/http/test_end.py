"""The end of a Router: what it promised to write down stands in the database before its process ends."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream

REQUESTS = 20


def test_a_router_that_ends_leaves_nothing_unwritten(tmp_path: Path) -> None:
    """Decisions, log and ledger are complete, and no thread of the Router lives on that could still write them."""
    before = set(threading.enumerate())
    state, box = tmp_path / "state.db", dict[str, Any]()
    with ThreadedUpstream() as local, ThreadedUpstream() as cloud:
        settings = config(local.url, cloud.url, state={"url": f"sqlite:///{state}"})
        with serving(settings, box) as url, client(url) as ask:
            for number in range(REQUESTS):
                ask.chat.completions.create(
                    model="cloud-openai", messages=[{"role": "user", "content": f"the number {number}"}]
                )
        living = {thread.name for thread in set(threading.enumerate()) - before}
        assert not living & {"ledger", "audit", "outcomes"}
    with closing(sqlite3.connect(state)) as database:
        ((decisions,),) = database.execute("SELECT count(*) FROM decisions")
        ((records,),) = database.execute("SELECT count(*) FROM audit_records")
    assert decisions == REQUESTS
    assert records >= 2 * REQUESTS  # the intent and the outcome of each
