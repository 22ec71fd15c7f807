"""`pointsman budgets`, as a person uses it: the real command line on a real ledger."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from serve.cli import app
from serve.ledger.entries import WHOLE_LIFE, Account, Entry, periods
from serve.ledger.store import Store
from tests.support.spending import reservation, settled

LANE = {
    "name": "here",
    "kind": "openai",
    "model": "m",
    "base_url": "http://127.0.0.1:9/v1",
    "location": "device",
    "context": 8192,
}
RULE = {"name": "default", "prefer": ["here"], "because": "a rule of the tests"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; keys and ledger are made in it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def configured(folder: Path, **changes: Any) -> str:
    path = folder / "pointsman.yaml"
    raw = {"lanes": [LANE], "policy": {"rules": [RULE]}, "state": {"url": url(folder)}}
    path.write_text(yaml.safe_dump(raw | changes))
    return str(path)


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/ours.db"


def write(folder: Path, *entries: Entry) -> None:
    store = Store(url(folder))
    store.write(entries, 0)
    store.close()


def listed(config: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = json.loads(run("budgets", "--config", config, "--json").stdout)
    return {(row["scope"], row["period"]): row for row in rows}


def test_in_open_mode_the_limit_of_a_key_is_shown_for_everybody(folder: Path) -> None:
    """It holds for `anonymous`, who all callers are there."""
    config = configured(folder, budgets={"key": {"day": 5}}, keys={"mode": "open"})
    ((name, period),) = found = listed(config)
    assert (name, found[name, period]["limit"]) == ("key:anonymous", 5_000_000)


def test_a_ledger_without_limits_and_spending_is_empty(folder: Path) -> None:
    config = configured(folder)
    assert json.loads(run("budgets", "--config", config, "--json").stdout) == []
    (heading,) = run("budgets", "--config", config).stdout.splitlines()
    assert heading.split() == [
        "who",
        "period",
        "spent",
        "$",
        "reserved",
        "$",
        "limit",
        "$",
        "left",
        "$",
        "used",
    ]


def test_limits_show_before_anything_was_spent(folder: Path) -> None:
    run("keys", "create", "--name", "ann", "--budget-day", "2", "--team", "blue")
    config = configured(folder, budgets={"total": {"month": 5}, "teams": {"blue": {"day": 3}}})
    before, found, after = time.time(), listed(config), time.time()
    days, months = zip(periods(before), periods(after), strict=True)
    limits = {(scope, period): row["limit"] for (scope, period), row in found.items()}
    assert {row["spent"] for row in found.values()} == {row["reserved"] for row in found.values()} == {0}
    (day,) = {period for _, period in limits if len(period) == len("2026-11-21")}
    (month,) = {period for _, period in limits if len(period) == len("2026-11")}
    assert (day in days, month in months) == (True, True)
    assert limits == {("key:ann", day): 2_000_000, ("team:blue", day): 3_000_000, ("total", month): 5_000_000}


def test_what_was_spent_and_what_is_held_are_told_apart(folder: Path) -> None:
    config = configured(folder, budgets={"total": {"day": 1}})
    # An account whose period is over shows no more; this one's never is.
    session = Account("session:abc", WHOLE_LIFE)
    done, open_ = reservation(300, session), reservation(500, session)
    write(folder, done, settled(done, 120), open_)
    row = listed(config)["session:abc", WHOLE_LIFE]
    assert (row["spent"], row["reserved"], row["limit"]) == (120, 500, None)


def test_the_table_says_who_has_how_much_left(folder: Path) -> None:
    config = configured(folder, budgets={"session": 0.001})
    entry = reservation(900, Account("session:abc", WHOLE_LIFE))
    write(folder, entry, settled(entry, 850))
    (line,) = (
        line for line in run("budgets", "--config", config).stdout.splitlines() if "session:abc" in line
    )
    cells = ("0.000850", "0.000000", "0.001000", "0.000150", "85%")
    assert line.split()[-len(cells) :] == list(cells)


def test_a_limit_of_nothing_is_used_up(folder: Path) -> None:
    config = configured(folder, budgets={"total": {"month": 0}})
    lines = run("budgets", "--config", config).stdout.splitlines()
    assert [line.split()[-1] for line in lines if line.split()[0] == "total"] == ["100%"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"state": {"url": "mysql://nobody/knows"}}, "state.url", id="no-such-database"),
        pytest.param({"state": {"url": "nonsense"}}, "state.url", id="no-url"),
        pytest.param({"budgets": {"total": {"day": -1}}}, "budgets.total.day", id="negative-limit"),
        pytest.param({"keys": {"file": "/nowhere/keys.yaml"}}, "/nowhere/keys.yaml", id="no-keys"),
    ],
)
def test_a_mistake_is_said_in_words(folder: Path, changes: dict[str, Any], told: str) -> None:
    assert told in run("budgets", "--config", configured(folder, **changes), code=1).stderr


def test_a_configuration_that_is_not_there_is_said(folder: Path) -> None:
    assert "nowhere.yaml" in run("budgets", "--config", f"{folder}/nowhere.yaml", code=1).stderr


def test_a_ledger_that_cannot_be_read_is_said(folder: Path) -> None:
    config = configured(folder)
    (folder / "ours.db").write_bytes(b"this is no database, and long enough to be taken for one " * 40)
    assert "The ledger cannot be read: DatabaseError" in run("budgets", "--config", config, code=1).stderr
