"""`pointsman doctor` on this machine: it sees what is wrong, says what to do, and shows no secret."""

import json
import shutil
import socket
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from models import lock
from models.store import Store, cache_root
from serve.cli import app
from serve.config import Config, checked, load
from serve.doctor import configured, machine
from serve.doctor.finding import Finding, failed
from serve.up import free_ports
from tests.support.databases import database

ROOT = Path(__file__).parents[2]
SECRET = "sk-not-to-be-seen-anywhere"
LANE = {
    "name": "there",
    "kind": "openai",
    "model": "m",
    "base_url": "http://127.0.0.1:9/v1",
    "location": "device",
    "context": 8192,
}


def configuration(**changes: Any) -> Config:
    rules = [{"name": "all", "prefer": ["there"], "because": "There is no other."}]
    raw = {"lanes": [LANE], "policy": {"rules": rules}, "keys": {"mode": "open"}} | changes
    return checked(raw, "a test")


def one(findings: Iterable[Finding], check: str) -> Finding:
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def statuses(findings: Iterable[Finding]) -> list[str]:
    return [finding.status for finding in findings]


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


# --- the machine -------------------------------------------------------------------------------------------------


def test_the_packages_of_this_machine_are_compared_with_the_locks() -> None:
    found = list(machine.packages("core"))
    assert all(finding.check == "packages" for finding in found)
    assert "fail" not in statuses(found), found


def test_a_missing_and_another_version_are_told_apart(tmp_path: Path) -> None:
    pins = ["pydantic==0.0.1 \\", "no-such-package==1.0 \\", "nowhere==2.0 ; sys_platform == 'never' \\"]
    (tmp_path / "core.txt").write_text("".join(f"{pin}\n    --hash=sha256:{'0' * 64}\n" for pin in pins))
    missing, other = machine.packages("core", tmp_path)
    assert (missing.status, missing.said) == ("fail", "1 missing: no-such-package")
    assert other.status == "warn"
    assert other.said.endswith("(locked 0.0.1)")
    assert "nowhere" not in f"{missing}{other}"


def test_without_lock_files_it_says_that_nothing_was_compared(tmp_path: Path) -> None:
    assert statuses(machine.packages("cpu", tmp_path)) == ["warn"]


@pytest.mark.parametrize(
    ("total_gib", "free_gib", "status"), [(64, 60, "ok"), (64, 1, "warn"), (2, 2, "fail")]
)
def test_memory_is_compared_with_what_the_engines_will_take(
    total_gib: int, free_gib: int, status: str, tmp_path: Path
) -> None:
    info = tmp_path / "meminfo"
    info.write_text(f"MemTotal: {total_gib << 20} kB\nMemAvailable:  {free_gib << 20} kB\n")
    assert machine.memory(load(ROOT / "configs" / "cpu.yaml"), info).status == status


def test_more_replicas_and_a_larger_cache_need_more_memory() -> None:
    config = load(ROOT / "configs" / "cpu.yaml")
    engine = config.engines["small"]
    larger = {"small": engine.model_copy(update={"kv_cache_gib": 9})}
    assert engine.kv_cache_gib == 1
    assert machine.needed(config.model_copy(update={"engines": larger})) - machine.needed(config) == 8 << 30


def test_no_engine_needs_no_avx2_and_little_memory() -> None:
    config = configuration()
    assert machine.processor(config).status == "ok"
    assert machine.needed(config) == machine.BASE


def test_the_clock_and_shared_memory_are_looked_at(tmp_path: Path) -> None:
    assert machine.clock().status in ("ok", "warn")
    assert machine.shared_memory(tmp_path / "none").status == "ok"


# --- what a configuration needs ----------------------------------------------------------------------------------


def test_a_port_is_free_taken_or_of_another_machine() -> None:
    (port,) = free_ports(1)
    config = configuration(server={"port": port})
    assert configured.port(config).status == "ok"
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        other.settimeout(0)
        taken = configured.port(config)
    assert taken.status == "fail"
    assert "taken by another program" in taken.said
    elsewhere = configuration(server={"host": "192.0.2.7", "port": port}, keys={"mode": "required"})
    assert configured.port(elsewhere).status == "fail"


def test_a_model_that_is_missing_damaged_or_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_CACHE", str(tmp_path))
    config = configuration(scout={"model": "all-minilm-l6-v2"})
    (missing,) = configured.models(config)
    assert missing.status == "fail"
    assert missing.todo == "pointsman models fetch all-minilm-l6-v2"


def test_one_changed_byte_of_a_model_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "all-minilm-l6-v2"
    store = Store(lock.shipped(), cache_root())
    if store.state(name) != "ready":
        pytest.skip(f"{name} was not fetched on this machine")
    copy = Store(lock.shipped(), tmp_path)
    folder = copy.folder(lock.shipped().find(name))
    shutil.copytree(store.path(name), folder)
    monkeypatch.setenv("POINTSMAN_CACHE", str(tmp_path))
    config = configuration(scout={"model": name})
    assert statuses(configured.models(config)) == ["ok"]
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    (damaged,) = configured.models(config)
    assert (damaged.status, damaged.said) == ("fail", "wrong sha256: model.safetensors")


def test_a_model_of_a_hub_is_looked_for_in_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    config = load(ROOT / "configs" / "gpu-1.yaml")
    name = config.engines["general"].model
    before = one(configured.models(config), f"model {name}")
    assert (before.status, before.todo) == ("fail", f"hf download {name}")
    (tmp_path / "hub" / f"models--{name.replace('/', '--')}" / "snapshots" / "abc").mkdir(parents=True)
    assert one(configured.models(config), f"model {name}").status == "ok"


def test_secrets_are_found_or_missed_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(SECRET)
    monkeypatch.setenv("SET_KEY", SECRET)
    monkeypatch.delenv("UNSET_KEY", raising=False)
    monkeypatch.delenv("STATE_URL", raising=False)
    away = LANE | {
        "base_url": "https://llm.example/v1",
        "location": "global",
        "price": {"input": 1, "output": 1},
    }
    lanes = [
        LANE,
        away | {"name": "by-env", "api_key": {"env": "SET_KEY"}},
        away | {"name": "by-file", "api_key": {"file": str(tmp_path / "key")}},
        away | {"name": "unset", "api_key": {"env": "UNSET_KEY"}},
    ]
    config = configuration(lanes=lanes, state={"url": {"env": "STATE_URL"}})
    found = list(configured.references(config))
    assert SECRET not in repr(found)
    assert {finding.check: finding.status for finding in found} == {
        "state.url": "warn",
        "lane there": "ok",
        "lane by-env": "ok",
        "lane by-file": "ok",
        "lane unset": "warn",
    }
    assert one(found, "lane unset").todo == "set UNSET_KEY, or leave it off"


def test_nobody_can_answer_when_every_lane_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET_KEY", raising=False)
    config = configuration(lanes=[LANE | {"api_key": {"env": "UNSET_KEY"}}])
    assert failed(configured.references(config))


def test_keys_that_are_required_and_not_there(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    config = configuration(keys={"mode": "required", "file": str(file)})
    assert configured.keys(config).status == "fail"
    made = CliRunner().invoke(app, ["keys", "create", "--name", "a", "--print-yaml"])
    file.write_text(f"keys:\n{made.stdout}")
    assert configured.keys(config).said == "mode required, 1 key(s) work"
    assert configured.keys(configuration(keys={"mode": "required"})).status == "warn"


def test_a_sqlite_file_is_new_whole_broken_or_out_of_reach(tmp_path: Path) -> None:
    place = tmp_path / "a" / "state.db"
    config = configuration(state={"url": f"sqlite:///{place}"})
    assert one(configured.database(config), "database").said.endswith("will be made at the first start")
    assert not place.parent.exists(), "looking changes nothing"
    place.parent.mkdir()
    with sqlite3.connect(place) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    assert statuses(configured.database(config)) == ["ok"]
    place.write_bytes(b"this is no database" * 100)
    assert statuses(configured.database(config)) == ["fail"]
    nowhere = configuration(state={"url": "sqlite:////proc/no/state.db"})
    assert statuses(configured.database(nowhere)) == ["fail"]


def test_a_server_answers_or_does_not_and_its_password_stays_unseen(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    absent = configuration(state={"url": f"postgresql://me:{SECRET}@127.0.0.1:{port}/db"})
    (found,) = configured.database(absent)
    assert found.status == "fail"
    assert SECRET not in repr(found)
    with database("postgresql", tmp_path) as url:
        (found,) = configured.database(configuration(state={"url": url}))
    assert found.status == "ok"


@pytest.mark.parametrize(
    ("told", "status"),
    [
        pytest.param("NVIDIA L4, 580.65.06, 23034, 22500", "ok", id="fits"),
        pytest.param("NVIDIA L4, 580.65.06, 23034, 9000", "warn", id="in-use"),
        pytest.param("NVIDIA L4, 535.1, 23034, 22500", "fail", id="old-driver"),
        pytest.param("", "fail", id="no-card"),
    ],
)
def test_cards_are_compared_with_what_the_engines_want(told: str, status: str) -> None:
    config = load(ROOT / "configs" / "gpu-1.yaml")
    assert statuses(configured.cards(config, 0.96, told)) == [status]


def test_only_a_configuration_that_wants_a_gpu_misses_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(configured.gpu(configuration())) == []
    monkeypatch.setenv("PATH", "/nowhere")
    (found,) = configured.gpu(load(ROOT / "configs" / "gpu-1.yaml"))
    assert found.status == "fail"


def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_CACHE", str(tmp_path / "not" / "yet"))
    found = list(configured.disk(configuration()))
    assert [finding.check for finding in found] == ["disk of the models", "disk of the state"]
    assert configured._room("x", tmp_path, 1 << 60).status == "fail"


# --- the command -------------------------------------------------------------------------------------------------


def test_the_command_as_json_and_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSET_KEY", raising=False)
    file = tmp_path / "own.yaml"
    (port,) = free_ports(1)
    raw = {
        "lanes": [LANE],
        "policy": {"rules": [{"name": "all", "prefer": ["there"], "because": "There is no other."}]},
        "keys": {"mode": "open"},
        "server": {"port": port},
    }
    file.write_text(yaml.safe_dump(raw))
    done = CliRunner().invoke(app, ["doctor", "--config", str(file), "--json"])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["failed"]) == (0, False), told
    assert {"python", "packages", "memory", "clock", "database", "keys", "port"} <= {
        finding["check"] for finding in told["findings"]
    }
    raw["lanes"] = [LANE | {"api_key": {"env": "UNSET_KEY"}}]
    file.write_text(yaml.safe_dump(raw))
    done = CliRunner().invoke(app, ["doctor", "--config", str(file)])
    assert done.exit_code == 1
    assert "FAIL lanes: every lane is off" in done.stdout
    assert "-> set UNSET_KEY" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--config", "/nowhere.yaml"], "/nowhere.yaml"),
        (["--url", "127.0.0.1:8000"], "--url must be like"),
        (["--url", "http://me:word@127.0.0.1"], "--url must be like"),
        (["--namespace", "No Such!"], "cannot be the name of a namespace"),
        (["--context", "here"], "--context belongs to --namespace"),
    ],
)
def test_wrong_input_is_said_plainly(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["doctor", *arguments])
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output
    assert "word" not in done.output
