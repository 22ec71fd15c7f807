"""P15: a prompt too large for one message between Ray's processes is not to be found on any disk, ever."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import client_of, up
from tests.support.upstream import ThreadedUpstream

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

CANARY = "canary-5f1c2e-must-not-stay"
LARGE = (CANARY + " word" * 20) * 8_000  # a megabyte; Ray keeps arguments above 100 KB in its object store


def config(local: str) -> dict[str, Any]:
    lane = {
        "kind": "openai",
        "model": "ok",
        "base_url": f"{local}/v1",
        "location": "device",
        "context": 2_000_000,
    }
    rule = {"name": "default", "prefer": ["local"], "because": "there is only one"}
    return {
        "keys": {"mode": "open"},
        "lanes": [lane | {"name": "local"}],
        "policy": {"rules": [rule]},
    }


def holding(*folders: Path) -> list[Path]:
    """Files below `folders` in which the canary stands."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if CANARY.encode() in _content(path)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # gone since it was listed
        return b""


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name: the paths of Ray's sockets may have no more than 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="pm-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_megabyte_of_prompt_leaves_no_plaintext_on_disk(short: Path) -> None:
    """Nothing in Ray's session folder (logs, spilled objects) and Pointsman's state: while it runs and afterwards."""
    assert len(LARGE) > 1_000_000
    (short / "control").mkdir()
    (short / "control" / "file").write_text(LARGE)
    assert holding(short) == [short / "control" / "file"]
    path = short / "pointsman.yaml"
    with ThreadedUpstream() as local:
        path.write_text(yaml.safe_dump(config(local.url)))
        places = {"RAY_TMPDIR": str(short / "ray"), "XDG_STATE_HOME": str(short / "state")}
        (short / "ray").mkdir()
        with up(str(path), places) as (_pid, url), client_of(url) as ask:
            for stream in (False, True, False, True):
                said: Any = [{"role": "user", "content": LARGE}]
                answer: Any = ask.chat.completions.create(model="auto", messages=said, stream=stream)
                assert [chunk.id for chunk in answer] if stream else answer.choices[0].message.content
            assert local.received_bytes.count(CANARY.encode()) == 4 * 8_000
            sessions = list((short / "ray").rglob("session_2*"))
            assert sessions, "Ray keeps its files elsewhere"
            running = holding(short / "ray", short / "state")
    assert running == []
    assert holding(short / "ray", short / "state") == []
