"""`pointsman audit` as people use it."""

import json
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from serve import state
from serve.audit.store import Store
from serve.audit.tables import RECORDS
from serve.cli import app
from tests.unit.test_audit import changing, intent, old, outcome, refusal

RUN = CliRunner()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The default database, with a public and a confidential request in it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    url = state.default_url()
    store = Store(url)
    store.append([intent(1), outcome(1), intent(2, "public"), outcome(2, cloud_egress=True)])
    store.close()
    return url


def audit(*arguments: str) -> Result:
    return RUN.invoke(app, ["audit", *arguments])


def forge(url: str) -> None:
    with changing(url) as connection:
        connection.execute(RECORDS.update().where(RECORDS.c.seq == 3).values(hash="0" * 64))


def test_verify_tells_whether_the_log_is_whole(url: str) -> None:
    good = audit("verify")
    assert (good.exit_code, good.stdout) == (0, "Whole: 5 records in 1 chain\n")
    forge(url)
    bad = audit("verify")
    assert bad.exit_code == 1
    assert "record 3: was changed" in bad.stdout
    assert json.loads(audit("verify", "--json").stdout)["faults"][0]["seq"] == 3


def test_prove_exits_with_1_when_anything_of_the_class_left(url: str) -> None:
    kept = audit("prove", "--since", "7d")
    assert kept.exit_code == 0
    assert "left the premises: 0" in kept.stdout
    assert audit("prove", "--since", "7d", "--class", "public").exit_code == 1
    forge(url)
    assert audit("prove", "--since", "7d").exit_code == 1


def test_prove_counts_what_was_refused_and_says_that_it_was_never_sent(url: str) -> None:
    before = json.loads(audit("prove", "--since", "7d", "--json").stdout)
    assert (before["requests"], before["refused"]) == (1, {})
    store = Store(url)
    turned_away = [refusal(3), refusal(4), refusal(5, status="no_lane_able"), refusal(6, "public")]
    store.append(turned_away)
    store.close()
    proof = json.loads(audit("prove", "--since", "7d", "--json").stdout)
    assert (proof["requests"], proof["cloud_egress"], proof["holds"]) == (1, 0, True)
    assert proof["refused"] == {"egress_denied": 2, "no_lane_able": 1}
    shown = audit("prove", "--since", "7d").stdout
    assert "refused before anything was sent, egress_denied: 2" in shown
    assert "refused before anything was sent, no_lane_able: 1" in shown
    assert json.loads(audit("prove", "--since", "2999-01-01", "--json").stdout)["refused"] == {}


def test_a_proof_that_was_kept_is_compared_later(url: str, tmp_path: Path) -> None:
    proof = tmp_path / "proof.json"
    proof.write_text(audit("prove", "--since", "2020-01-01", "--json").stdout)
    assert audit("verify", "--against", str(proof)).exit_code == 0
    (head,) = json.loads(proof.read_text())["heads"].values()
    proof.write_text(proof.read_text().replace(head["hash"], "0" * 64))
    assert audit("verify", "--against", str(proof)).exit_code == 1
    proof.write_text("{}")
    assert audit("verify", "--against", str(proof)).exit_code == 2


def test_an_export_can_be_verified_and_a_torn_line_at_its_end_is_told(url: str, tmp_path: Path) -> None:
    """A2."""
    file = tmp_path / "log.jsonl"
    assert audit("export", "--out", str(file)).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    whole = file.read_text()
    assert audit("verify", "--file", str(file)).stdout == "Whole: 5 records in 1 chain\n"
    file.write_text(whole[:-20])
    torn = audit("verify", "--file", str(file))
    assert (torn.exit_code, "cut short" in torn.stdout) == (0, True)
    file.write_text(whole.replace('"cloud_egress":true', '"cloud_egress":false'))
    assert "record 5: was changed" in audit("verify", "--file", str(file)).stdout
    lines = whole.splitlines(keepends=True)
    file.write_text("".join([*lines[:2], *lines[3:]]))
    assert "record 3: is missing" in audit("verify", "--file", str(file)).stdout


def test_a_parquet_export_has_typed_columns(url: str, tmp_path: Path) -> None:
    file = tmp_path / "it's.parquet"
    assert audit("export", "--format", "parquet", "--out", str(file)).exit_code == 0
    with duckdb.connect() as duck:
        found = duck.execute(
            "SELECT tried[1].lane, cloud_egress, \"at\" > TIMESTAMP '2020-01-01' FROM read_parquet($file) "
            "WHERE kind = 'outcome' ORDER BY seq",
            {"file": str(file)},
        ).fetchall()
    assert found == [("local", False, True), ("local", True, True)]
    empty = audit("export", "--format", "parquet", "--out", str(file), "--since", "2999-01-01")
    assert (empty.exit_code, empty.stderr.startswith("0 records")) == (0, True)


def test_retain_and_erase_leave_a_log_that_verifies(url: str) -> None:
    store = Store(url)
    store._chain._opening = intent(0, at=old(200))
    store.append([intent(7)])
    store.close()
    assert "1 records removed" in audit("retain").stderr
    assert audit("erase", "--key", "k1").exit_code == 0
    assert audit("erase", "--key", "k1").exit_code == 2
    assert audit("verify").exit_code == 0


def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert audit("verify").exit_code == audit("prove", "--since", "1d").exit_code == 0
    assert audit("prove", "--since", "yesterday").exit_code == 2
