"""Runs pip for .venv and shows how far it is. It does not know when a .venv is out of date.

Everything goes through pip, because pip alone reads the machine's own settings: mirrors, certificates and
local wheels.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENV = ROOT / ".venv"
LOG = VENV / "install.log"
# Asked only where pip's own places have no CPU build of torch.
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# Each lock is complete, and the cpu lock leaves out CUDA builds on purpose: pip must not add anything to it.
# Bytecode is left to the first import: compiling all of it here would double the time.
LOCKED = ("--no-deps", "--require-hashes", "--no-compile")


class StepFailed(Exception):
    """pip did not do what it was asked; the message holds its last words."""


def install(profile: str, dev: bool) -> None:
    started = time.monotonic()
    LOG.unlink(missing_ok=True)
    if profile == "cpu":
        install_torch()
    for lock in [profile, "dev"] if dev else [profile]:
        pip(f"{lock}.txt", [*LOCKED, "-r", str(HERE / f"{lock}.txt")], expected=pins(HERE / f"{lock}.txt"))
    pip("pointsman itself", ["--no-deps", "--no-build-isolation", "-e", str(ROOT)], expected=1)
    say(f"ready: profile {profile}{', test tools' if dev else ''} in {time.monotonic() - started:.0f} s")


def install_torch() -> None:
    arguments = [*LOCKED, "-r", str(HERE / "torch.txt")]
    try:
        pip("torch.txt", arguments, expected=1)
    except StepFailed:
        say(f"no CPU build of torch where pip looks; asking {TORCH_INDEX}")
        pip("torch.txt", [*arguments, "--index-url", TORCH_INDEX], expected=1)


def pip(what: str, arguments: Iterable[str], expected: int) -> None:
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--progress-bar", "off", *arguments]
    with LOG.open("a+", encoding="utf-8") as log:
        start = log.tell()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment())
        show(what, tee(process, log.write), expected)
        if process.wait() != 0:
            log.seek(start)
            raise StepFailed(f"pip could not install {what}:\n{complaint(log.read())}\nFull log: {LOG}")
    progress(what, expected, expected, "done")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def tee(process: subprocess.Popen[str], write: Callable[[str], int]) -> Iterable[str]:
    for line in process.stdout or ():
        write(line)
        yield line


def show(what: str, lines: Iterable[str], expected: int) -> None:
    """One line that moves on a terminal; elsewhere one line per quarter."""
    found = 0
    for line in lines:
        if match := re.match(r"(?:Collecting|Requirement already satisfied:|Obtaining) ([^\s(]+)", line):
            found += 1
            progress(what, found, expected, match.group(1))
        elif line.startswith("Installing collected packages"):
            progress(what, expected, expected, "unpacking")


def progress(what: str, found: int, expected: int, name: str) -> None:
    text = f"  {what}: {found}/{expected} {name}"
    if sys.stdout.isatty():
        print(f"\r\033[K{text[:100]}", end="\n" if name == "done" else "", flush=True)
    elif name in ("unpacking", "done") or found % max(expected // 4, 10) == 0:
        print(text, flush=True)


def complaint(log: str) -> str:
    errors = [line for line in log.splitlines() if line.startswith("ERROR")]
    return "\n".join(errors or log.splitlines()[-10:])


def pins(lock: Path) -> int:
    return sum("==" in line for line in lock.read_text(encoding="utf-8").splitlines())


def say(text: str) -> None:
    print(f"pointsman setup: {text}", flush=True)
