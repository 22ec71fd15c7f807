"""A folder in memory where the system has one: a test that does not pull the plug need not wait for a disk."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder below it is made privately


@contextmanager
def memory_folder() -> Iterator[Path]:
    """An empty folder that goes with the block; on the disk where nothing else is there."""
    where = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="pointsman-", dir=where) as folder:
        yield Path(folder)
