"""Makes .venv hold what one profile needs, from the lock files. It does not know how the product uses it.

Runs on a bare Python: only the standard library may be imported here. A finished .venv carries a stamp, and
a run whose stamp still holds does nothing. Changed lock files make a new .venv, because patching the old one
would keep what the new locks dropped.
"""

import argparse
import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import venv
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pip_steps import HERE, ROOT, VENV, StepFailed, install, say

STAMP = VENV / "pointsman.json"
PROFILES = ("core", "cpu", "gpu")


class SetupError(Exception):
    """Something a person has to put right; the message says what."""


@dataclass(frozen=True)
class Stamp:
    """What a .venv was made from."""

    locks: str
    project: str
    profile: str = ""
    dev: bool = False


def main() -> None:
    options = arguments()
    try:
        prepare(options.profile or profile_of(options.config), options.dev)
    except (SetupError, StepFailed) as error:
        sys.exit(f"pointsman setup: {error}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--profile", choices=PROFILES)
    wanted.add_argument("--config", type=Path, help="take the profile that this config file names")
    parser.add_argument("--dev", action="store_true", help="add the test tools")
    return parser.parse_args()


def profile_of(config: Path) -> str:
    """Read with a pattern, because the YAML reader is among the things still to be installed."""
    if not config.is_file():
        raise SetupError(f"there is no config file {config}; see the ones in configs/")
    found = re.search(r"(?m)^profile:[ \t]*[\"']?([^\s\"'#]*)", config.read_text(encoding="utf-8"))
    profile = found.group(1) if found else "core"
    if profile not in PROFILES:
        raise SetupError(f"{config}: profile is {profile!r}, but has to be one of {', '.join(PROFILES)}")
    return profile


def prepare(profile: str, dev: bool) -> None:
    check_machine(profile)
    now = Stamp(locks=locks_digest(), project=digest(ROOT / "pyproject.toml"))
    have = read_stamp()
    fresh = have is None or have.locks != now.locks or have.profile not in reachable_from(profile)
    goal = goal_of(now, None if fresh else have, profile, dev)
    if goal == have:
        return
    if fresh:
        make_venv()
    STAMP.unlink(missing_ok=True)
    install(goal.profile, goal.dev)
    STAMP.write_text(json.dumps(asdict(goal)), encoding="utf-8")


def reachable_from(profile: str) -> tuple[str, ...]:
    """Core is part of every profile and grows into any; cpu and gpu exclude each other."""
    return PROFILES if profile == "core" else ("core", profile)


def goal_of(now: Stamp, have: Stamp | None, profile: str, dev: bool) -> Stamp:
    if have is None:
        return replace(now, profile=profile, dev=dev)
    return replace(now, profile=have.profile if profile == "core" else profile, dev=dev or have.dev)


def make_venv() -> None:
    say(f"making {VENV.name} with Python {platform.python_version()}")
    venv.create(VENV, clear=True, with_pip=True)


def check_machine(profile: str) -> None:
    version, machine = sys.version_info[:2], (sys.platform, platform.machine())
    newest = (3, 14) if profile == "core" else (3, 13)
    if not (3, 11) <= version <= newest:
        this = f"this is {platform.python_version()}: make PYTHON=python3.11 ..."
        raise SetupError(f"profile {profile} needs Python 3.11 to 3.{newest[1]}, {this}")
    if profile != "core" and machine != ("linux", "x86_64"):
        raise SetupError(f"profile {profile} needs Linux on x86_64; a config with profile core runs anywhere")
    if profile == "gpu" and not has_gpu():
        raise SetupError("profile gpu needs a working nvidia-smi; without an NVIDIA GPU try configs/cpu.yaml")


def has_gpu() -> bool:
    probe = shutil.which("nvidia-smi")
    return probe is not None and subprocess.run([probe, "-L"], capture_output=True).returncode == 0


def read_stamp() -> Stamp | None:
    try:
        return Stamp(**json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def locks_digest() -> str:
    """The place counts too: scripts in .venv name it, so a .venv that was moved is a broken one."""
    parts = [str(VENV), platform.python_version(), *(digest(lock) for lock in sorted(HERE.glob("*.txt")))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
