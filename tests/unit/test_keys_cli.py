"""`pointsman keys`, as a person uses it: the real command line on a real database."""

import json
import os
import re
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from serve.cli import app
from serve.keys import credential, file
from serve.keys.store import KeyStore, default_path

KEY = re.compile(r"pm-[0-9a-f]{10}-[A-Za-z0-9_-]{43}")
CPU = str(Path(__file__).parents[2] / "configs" / "cpu.yaml")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["keys", *words])
    assert result.exit_code == code, result.output
    return result


def create(name: str, *words: str) -> str:
    shown = run("create", "--name", name, *words).stdout.strip()
    assert KEY.fullmatch(shown)
    return shown


def test_a_key_is_shown_once_alone_on_standard_output(tmp_path: Path) -> None:
    key = create("me")
    assert default_path() == tmp_path / "pointsman" / "keys.db"
    split = credential.split(key)
    assert split is not None
    (entry,) = KeyStore().entries()
    assert (entry.id, entry.sha256) == (split[0], credential.digest(split[1]))
    for words in (["list"], ["list", "--json"]):
        shown = run(*words).output
        assert split[0] in shown
        assert split[1] not in shown
        assert entry.sha256 not in shown


def test_every_option_arrives_in_the_entry() -> None:
    words = (
        "--lane a --lane b --scope reviewer --class-floor internal --exempt email --override --rpm 3 --tpm 4"
    )
    create("me", *words.split(), *["--cache", "--max-parallel", "5", "--budget", "12.5", "--expires", "7"])
    (shown,) = json.loads(run("list", "--json").stdout)
    assert shown["grant"] | {"lanes": sorted(shown["grant"]["lanes"])} == {
        "lanes": ["a", "b"],
        "overrides": True,
        "cache": True,
        "class_floor": "internal",
        "exempt": ["email"],
        "scopes": ["reviewer"],
        "requests_per_minute": 3,
        "tokens_per_minute": 4,
        "max_parallel": 5,
        "team": None,
        "budget_usd_day": None,
        "budget_usd_month": "12.5",
    }
    (entry,) = KeyStore().entries()
    assert entry.expires_at is not None
    assert abs(entry.expires_at.timestamp() - time.time() - 7 * 86_400) < 600


def test_budgets_and_the_team_are_told_with_the_rights() -> None:
    words = ["--budget", "1", "--budget-day", "0.5", "--team", "blue"]
    shown = run("create", "--name", "me", *words).stderr
    assert all(part in shown for part in ("team blue", "0.5 USD a day", "1.0 USD a month"))


def test_a_rotated_key_keeps_rights_and_length_of_life() -> None:
    old = create("me", "--override", "--expires", "10")
    new = run("rotate", "me", "--grace", "60").stdout.strip()
    assert KEY.fullmatch(new)
    assert new != old
    before, after = sorted(KeyStore().entries(), key=lambda entry: entry.state(time.time()), reverse=True)
    assert (before.state(time.time()), after.state(time.time())) == ("grace", "active")
    assert before.grant == after.grant
    assert after.expires_at is not None
    assert abs(after.expires_at.timestamp() - time.time() - 10 * 86_400) < 600


def test_revoked_by_name_or_by_id() -> None:
    first, second = create("one"), create("two")
    run("revoke", "one")
    run("revoke", second.split("-")[1])
    states = [item["state"] for item in json.loads(run("list", "--json").stdout)]
    assert states == ["revoked", "revoked"]
    assert first.split("-")[1] in run("list").stdout
    assert "No working key" in run("revoke", "one", code=1).stderr


def test_an_entry_for_a_mounted_file_is_printed_and_nothing_is_kept(tmp_path: Path) -> None:
    result = run("create", "--name", "pod", "--print-yaml", "--rpm", "5")
    (key,) = KEY.findall(result.stderr)
    assert not KEY.search(result.stdout)
    assert not default_path().exists()
    path = tmp_path / "keys.yaml"
    path.write_text("keys:\n" + result.stdout)
    (entry,) = file.read(path)
    assert (entry.name, entry.grant.requests_per_minute) == ("pod", 5)
    split = credential.split(key)
    assert split is not None
    assert credential.matches(split[1], entry.sha256)


def test_a_configuration_names_the_database_or_the_file(tmp_path: Path) -> None:
    raw = yaml.safe_load(Path(CPU).read_text()) | {"prices": {}}
    ours = tmp_path / "ours.yaml"
    ours.write_text(yaml.safe_dump(raw | {"keys": {"url": f"sqlite:///{tmp_path}/other.db"}}))
    create("me", "--config", str(ours), "--lane", "local-general")
    assert not default_path().exists()
    assert len(KeyStore(f"sqlite:///{tmp_path}/other.db").entries()) == 1
    ours.write_text(yaml.safe_dump(raw | {"keys": {"file": f"{tmp_path}/keys.yaml"}}))
    assert "--print-yaml" in run("create", "--name", "x", "--config", str(ours), code=1).stderr
    assert "keys.yaml" in run("list", "--config", str(ours), code=1).stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--name", "a b"], "name: "),
        (["--name", "x", "--rpm", "0"], "requests_per_minute: "),
        (["--name", "x", "--scope", "root"], "scopes.0: "),
        (["--name", "x", "--class-floor", "secret"], "class_floor: "),
        (["--name", "x", "--budget", "nan"], "budget_usd_month"),
        (["--name", "x", "--lane", "locl", "--config", CPU], "no such lane"),
        (["--name", "x", "--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_mistake_is_said_in_a_line_and_makes_no_key(words: list[str], told: str) -> None:
    result = run("create", *words, code=1)
    assert told in result.stderr
    assert "Traceback" not in result.output
    assert KeyStore().entries() == []


def test_a_second_key_of_one_name_is_refused() -> None:
    create("me")
    assert "rotate it, revoke it" in run("create", "--name", "me", code=1).stderr


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "pointsman").write_text("a file where a directory should be")
    assert os.fspath(default_path()) in run("create", "--name", "me", code=1).stderr
