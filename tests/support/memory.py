"""A folder in memory where the system has one: a test that does not pull the plug need not wait for a disk."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder below it is made privately
_WITHIN_S = 30.0


@contextmanager
def memory_folder() -> Iterator[Path]:
    """An empty folder that goes with the block; on the disk where nothing else is there."""
    folder = Path(tempfile.mkdtemp(prefix="pointsman-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """A thread that writes its last row may still make a file of SQLite's where one was just deleted."""
    end = time.monotonic() + _WITHIN_S
    while time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
    shutil.rmtree(folder)
