"""Every Python block of docs/clients*.md and of README, run as it stands against a real ingress."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.http.test_embeddings import lane, with_lanes
from tests.support.serving import serving
from tests.support.upstream import ThreadedUpstream

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in [DOCS.parent / "README.md", *sorted(DOCS.glob("clients*.md"))]
    for number, block in enumerate(BLOCK.findall(path.read_text("utf-8")), 1)
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ExitStack() as stack:
        local, cloud = stack.enter_context(ThreadedUpstream()), stack.enter_context(ThreadedUpstream())
        embedder = lane("embed-local", local.url, "small-embedder")
        yield stack.enter_context(serving(with_lanes(local.url, cloud.url, embedder)))


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_the_docs_runs_and_prints(url: str, block: str, tmp_path: Path) -> None:
    """As a program of its own, where nothing but its address and key comes from outside."""
    done = subprocess.run(
        [sys.executable, "-c", block.replace("http://127.0.0.1:8000", url)],
        cwd=tmp_path,
        env={"POINTSMAN_URL": url, "POINTSMAN_KEY": "any", "PATH": "/usr/bin:/bin", "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
