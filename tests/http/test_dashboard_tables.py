"""Routing tables on the dashboard: what decides, what is on trial and how it stands, and why each table is there."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from serve.learning import runs
from serve.learning.placed import base_of
from serve.learning.propose import Estimate, Proof, Proposal
from serve.learning.store import Told
from serve.outcomes.store import Store
from serve.routing_table import flat
from tests.http.conftest import Scene
from tests.http.test_dashboard import dom, look
from tests.http.test_learning import Served, tried, until
from tests.support.learning import EASY, NOW, table

PROOF = Proof(Estimate(0.9, 3000.0), Estimate(0.95, 1200.0), Estimate(0.96, 3000.0), 0.01, 0.0, 900.0, 0.02)
FOUND = Proposal(flat(2, table()), "one surely costs less", 1_000, 500.0, PROOF)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with ExitStack() as stack:
        yield Served(stack, tmp_path)


def begin_trial(served: Served) -> None:
    """A table with its proof goes on trial, and a run says so."""
    evidence = json.loads(json.dumps(asdict(FOUND) | {"table": "tier-2"}))
    served.tables.put_on_trial(FOUND, 0.5, Told("schedule", NOW, "<b>cheaper</b>", evidence))
    base = base_of(served.configured)
    runs.claim(served.store.engine, base, "2026-W47", "a", NOW)
    runs.end(served.store.engine, base, "2026-W47", "a", NOW, "trial", "one surely costs less", "tier-2")
    until(lambda: served.status()["canary"] == "tier-2")


def shown(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = look(served.url).json()["tables"]
    return found


def test_before_the_first_change_the_configured_table_decides(served: Served) -> None:
    found = shown(served)
    assert (found["configured"], found["current"], found["canary"]) == ("tier-1", "tier-1", None)
    assert (found["trial"], found["changes"], found["versions"], found["runs"]) == (None, [], [], [])


def test_a_trial_is_shown_with_its_evidence_and_its_table_with_why_it_is_there(served: Served) -> None:
    begin_trial(served)
    outcomes = Store(f"sqlite:///{served.path}")
    outcomes.write(list(tried(served.tables.last().seq, 12)))
    outcomes.close()
    until(lambda: (shown(served)["trial"] or {}).get("compared") == 5)
    found = shown(served)
    assert (found["current"], found["canary"], found["share"]) == ("tier-1", "tier-2", 0.5)
    assert (found["trial"]["failed"], found["trial"]["low"] < found["trial"]["better"] < 0) == (6, True)
    (change,) = found["changes"]
    assert (change["what"], change["who"], change["current"]) == ("canary", "schedule", None)
    (version,) = found["versions"]
    assert f"{EASY.replace('_', ' ')}: tier 2 (configured: tier 1)" in version["rows"]
    assert version["proof"][1] == "this one: 95.0% succeed, $1.2000 per 1,000 requests"
    assert found["runs"][0]["outcome"] == "trial"


def test_a_real_browser_shows_them_as_text(served: Served, tmp_path: Path) -> None:
    begin_trial(served)
    found = dom(served.url, tmp_path)
    assert '<section id="tables">' in found
    assert "tier-1 decides; tier-2 is on trial with 50.0% of the requests." in found
    assert "&lt;b&gt;cheaper&lt;/b&gt;" in found
    assert re.search(r"<details[^>]*><summary[^>]*>tier-2, kept .* by schedule", found)
    assert "this one: 95.0% succeed" in found


def test_a_policy_without_a_table_shows_none(scene: Callable[..., Scene], tmp_path: Path) -> None:
    s = scene(state={"url": f"sqlite:///{tmp_path}/state.db"})
    assert look(s.url).json()["tables"] is None
    assert '<section id="tables" hidden' in dom(s.url, tmp_path)
