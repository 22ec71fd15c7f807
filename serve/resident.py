"""Pages of a file that this process maps and has no more use for.

Knows Linux alone: elsewhere nothing happens. Does not know which files those are.
"""

import ctypes
import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MAPPINGS = Path("/proc/self/smaps")
_HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ +(.*)")


def let_go(path: Path) -> None:
    """Stop counting the pages of `path` as this process's own: one that is read again comes back from the file.

    Only where nothing can be written and nothing was: a page that the loader changed is not in the file.
    """
    with suppress(OSError, AttributeError):
        madvise = ctypes.CDLL(None, use_errno=True).madvise
        madvise.argtypes = (ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int)
        for start, end in _unwritten(path):
            madvise(start, end - start, mmap.MADV_DONTNEED)


def _unwritten(path: Path) -> Iterator[tuple[int, int]]:
    """Where `path` is mapped to be read alone, and no page differs from the file."""
    name, start, end, ours = str(path.resolve()), 0, 0, False
    for line in _MAPPINGS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if head := _HEAD.fullmatch(line):
            start, end = int(head[1], 16), int(head[2], 16)
            ours = "w" not in head[3] and head[4] == name
        elif ours and line.split() == ["Anonymous:", "0", "kB"]:
            yield start, end
