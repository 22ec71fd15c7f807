"""Other routers, each in an environment of its own under the user's cache, at the versions of `bench/peers.txt`.

Knows pip and npm. Does not know how to start what it installs.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PINS = Path(__file__).parents[1] / "peers.txt"
NPM = "npm:"


class Skipped(Exception):
    """Why a peer takes no part."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One exact version: `requirement` as pip or npm wants it."""

    name: str
    version: str
    requirement: str
    npm: bool

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(base) / "pointsman" / "peers" / f"{self.name}-{self.version}"


def pins(path: Path = PINS) -> dict[str, Pin]:
    """The pins of a file by the short names of their packages."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    found = [_pin(line) for line in lines if line and not line.startswith("#")]
    return {pin.name: pin for pin in found}


def _pin(line: str) -> Pin:
    npm, requirement = line.startswith(NPM), line.removeprefix(NPM)
    package, _, version = requirement.rpartition("@" if npm else "==")
    name = package.partition("/")[0].removesuffix("-ai").strip("@") if npm else package.partition("[")[0]
    return Pin(name, version.strip("="), requirement, npm)


def installed(pin: Pin, *, fetch: bool) -> Path:
    """Its folder. Raises Skipped when it is not there and may not or cannot be fetched."""
    done = pin.folder / ".complete"
    if done.is_file():
        return pin.folder
    if not fetch:
        raise Skipped("not installed: --install fetches it")
    pin.folder.mkdir(parents=True, exist_ok=True)
    for command in _commands(pin):
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Skipped(f"cannot be installed: {type(error).__name__}") from error
        if ended.returncode:
            last = (ended.stderr.strip() or "no message").splitlines()[-1]
            raise Skipped(f"cannot be installed: {last[:200]}")
    done.touch()
    return pin.folder


def _commands(pin: Pin) -> list[list[str]]:
    folder = str(pin.folder)
    if pin.npm:
        return [
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, pin.requirement]
        ]
    pip = [f"{folder}/bin/pip", "install", "--quiet", "--disable-pip-version-check", pin.requirement]
    return [[sys.executable, "-m", "venv", folder], pip]
