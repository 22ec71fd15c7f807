"""What this process keeps in memory: pages of files it is done with, and automata that never fit."""

import ctypes
import mmap
import random
import subprocess
import sys
from pathlib import Path

import pytest

from serve import resident
from serve.signals.sensitivity import scripts
from serve.signals.sensitivity.pattern import Pattern

SIZE = 8 << 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="resident pages are read from /proc")


def resident_kib(name: str) -> int:
    """Of the mappings of one file, in KiB."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if "-" in line.split()[0]:
            ours = line.endswith(name)
        elif ours and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


@linux
def test_pages_that_were_read_are_let_go_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "read"
    path.write_bytes(b"word" * (SIZE // 4))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        assert pages[:].count(b"w") == SIZE // 4
        assert resident_kib(str(path)) == SIZE // 1024
        resident.let_go(path)
        assert resident_kib(str(path)) == 0
        assert pages[:].count(b"w") == SIZE // 4


@linux
def test_what_was_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "written"
    path.write_bytes(b"word" * (SIZE // 4))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as pages:
        pages[:4] = b"mine"
        resident.let_go(path)
        assert pages[:8] == b"mineword"


def test_a_file_that_nobody_maps_is_no_fault(tmp_path: Path) -> None:
    resident.let_go(tmp_path / "nothing")


@linux
def test_the_tokenizers_library_does_not_stay_resident() -> None:
    program = (
        "from serve import ranks\n"
        "from tests.unit.test_resident import resident_kib\n"
        "counter = ranks.o200k()\n"
        "print(resident_kib('_bindings.abi3.so'), counter.count('hello world'))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    kib, tokens = map(int, told.split())
    assert tokens == 2
    assert 0 < kib < 4 * 1024  # with what it was built from: 33 MiB


class _Heap(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in "abcdefghij")


@linux
def test_an_automaton_that_never_fits_keeps_little() -> None:
    info = ctypes.CDLL(None).mallinfo2
    info.restype = _Heap
    rng = random.Random(2)
    words = ("".join(rng.choices("абвгдежзийклмнопрстуфхцчшщ", k=rng.randint(2, 25))) for _ in range(1000))
    pattern, text = Pattern(scripts._ALONE.source), " ".join(words).encode()
    before = info()
    assert sum(1 for _ in pattern.spans(text)) > 100
    after = info()
    assert after.h + after.e - before.h - before.e < 2 << 20  # with 16 MiB of memory: 3.7


def test_an_sdk_that_no_lane_speaks_is_not_there() -> None:
    program = "import sys, serve.app; print('anthropic' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert told.split()[-1] == "False"
