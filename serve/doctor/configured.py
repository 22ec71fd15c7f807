"""What one configuration needs of this machine: models, disk, port, GPU, keys and secrets, database.

Prints no value of a secret: it only says whether there is one.
"""

import errno
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
from pydantic import BaseModel
from sqlalchemy import make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from models import lock
from models.errors import ModelError
from models.store import Store, cache_root
from serve.config import Config, EnvRef, FileRef, HttpLane
from serve.doctor.finding import Finding, fail, ok, warn
from serve.errors import ConfigError, KeyStoreError
from serve.keys import file as keys_file
from serve.keys.place import Server
from serve.keys.store import KeyStore
from serve.state import default_url

GIB = 1 << 30
DRIVER = 580  # the first whose driver runs CUDA 13, which the locked torch and vLLM are built for
SKEW_S = 5


def models(config: Config) -> Iterator[Finding]:
    """Every model that the configuration names: there, and with the right sha256."""
    wanted = [
        *(e.model for e in config.engines.values()),
        *([config.scout.model] if config.scout else []),
        *(str(lane.path or lane.model) for lane in config.encoders),
    ]
    store = Store(lock.shipped(), cache_root())
    for name in dict.fromkeys(wanted):
        if name in store.lock.names:
            yield _pinned(store, name)
        elif "/" in name and not name.startswith((".", "/")):
            yield _from_hub(name)
        else:
            found = (Path(name) / "config.json").is_file()
            yield (
                ok(f"model {name}", "there; no sha256 is known for it")
                if found
                else fail(
                    f"model {name}", "no config.json in that folder", "name a folder with a model in it"
                )
            )


def _pinned(store: Store, name: str) -> Finding:
    check = f"model {name}"
    try:
        damaged = store.verify(name)
    except ModelError as error:
        return fail(check, str(error).partition(";")[0], f"pointsman models fetch {name}")
    if damaged:
        return fail(check, f"wrong sha256: {', '.join(damaged)}", f"pointsman models fetch {name}")
    return ok(check, f"every sha256 is right, in {store.folder(store.lock.find(name))}")


def _from_hub(name: str) -> Finding:
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    folder = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    if folder.is_dir() and any(folder.iterdir()):
        return ok(f"model {name}", f"in {folder}; pin its revision in the configuration")
    return fail(f"model {name}", f"not in {cache}, and engines open no connections", f"hf download {name}")


def disk(config: Config) -> Iterator[Finding]:
    """Room for what is still to be fetched, and for the state."""
    store = Store(lock.shipped(), cache_root())
    names = {e.model for e in config.engines.values()} | ({config.scout.model} if config.scout else set())
    names |= {lane.model for lane in config.encoders if lane.path is None}
    absent = [store.lock.find(n) for n in names & set(store.lock.names) if store.state(n) != "ready"]
    need = sum(artefact.size * (5 if artefact.convert else 2) for artefact in absent)
    yield _room("disk of the models", store.root, need)
    if (place := _sqlite_file(config)) is not None:
        yield _room("disk of the state", place.parent, GIB // 4)


def _room(check: str, place: Path, need: int) -> Finding:
    free = shutil.disk_usage(_existing(place)).free
    said = f"{free / GIB:.1f} GiB free at {place}"
    if free < need:
        return fail(
            check, f"{said}, {need / GIB:.1f} GiB wanted", "make room, or set POINTSMAN_CACHE, state.url"
        )
    return (
        ok(check, said) if free > GIB else warn(check, said, "make room: the audit log and the ledger grow")
    )


def port(config: Config) -> Finding:
    """Whether the configured address can be listened on."""
    host, number = config.server.host, config.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            return _taken(host, number, error)
    return ok("port", f"{host}:{number} is free")


def _taken(host: str, number: int, error: OSError) -> Finding:
    if error.errno != errno.EADDRINUSE:
        return fail(
            "port", f"{host}:{number}: {error.strerror}", "server.host must be an address of this machine"
        )
    url = f"http://{host}:{number}"
    try:
        answer = httpx2.get(f"{url}/healthz", trust_env=False, timeout=5).json()
    except (httpx2.HTTPError, ValueError):
        answer = None
    if isinstance(answer, dict) and "version" in answer:
        return warn(
            "port", f"a Pointsman already serves at {url}", f"look at it: pointsman doctor --url {url}"
        )
    return fail("port", f"{host}:{number} is taken by another program", "end it, or change server.port")


def gpu(config: Config) -> Iterator[Finding]:
    """Cards, driver and free memory, where anything of the configuration wants a GPU."""
    wanted = sum(engine.num_gpus for engine in config.engines.values())
    wanted += config.scout.num_gpus if config.scout else 0
    if not wanted:
        return
    probe = shutil.which("nvidia-smi")
    done = _nvidia(probe) if probe else None
    if done is None or done.returncode:
        yield fail(
            "gpu",
            f"the configuration wants {wanted:g} GPU(s), and nvidia-smi shows none",
            "install NVIDIA's driver; in a container: --gpus all; without a card: configs/cpu.yaml",
        )
        return
    yield from cards(config, wanted, done.stdout)


def _nvidia(probe: str) -> "subprocess.CompletedProcess[str]":
    fields = "name,driver_version,memory.total,memory.free"
    command = [probe, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


def cards(config: Config, wanted: float, told: str) -> Iterator[Finding]:
    """What nvidia-smi told (name, driver, MiB in all, MiB free; a line a card) against the configuration."""
    rows = [[part.strip() for part in line.split(",")] for line in told.splitlines() if line.strip()]
    if len(rows) < wanted:
        yield fail("gpu", f"{len(rows)} card(s), {wanted:g} wanted", "fewer engines, or another machine")
    for number, (name, driver, total, free) in enumerate(rows):
        check = f"gpu {number}"
        said = f"{name}, driver {driver}, {int(free) / 1024:.1f} of {int(total) / 1024:.1f} GiB free"
        share = _share(config)
        if int(driver.partition(".")[0]) < DRIVER:
            yield fail(check, said, f"the locked vLLM is built for CUDA 13: install driver {DRIVER} or newer")
        elif int(free) < share * int(total):
            yield warn(
                check,
                f"{said}; engines want {share:.0%} of it",
                "end what uses it (nvidia-smi), or see `plan`",
            )
        else:
            yield ok(check, said)


def _share(config: Config) -> float:
    """What of one card the engines that share it want free at their start."""
    told = [
        (e.num_gpus, e.vllm.get("gpu_memory_utilization", 0.9)) for e in config.engines.values() if e.num_gpus
    ]
    shares = [(gpus, float(share)) for gpus, share in told if isinstance(share, int | float)]
    shared = sum(share for gpus, share in shares if gpus < 1)
    return max([shared, *(share for gpus, share in shares if gpus >= 1)])


def references(config: Config) -> Iterator[Finding]:
    """Every value that lives in the environment or in a file: is it there? Lanes say for themselves below."""
    lanes = [lane for lane in config.lanes if isinstance(lane, HttpLane)]
    for path, reference in _references(config, ""):
        if path.startswith("lanes."):
            continue
        yield _resolved(path, reference)
    for lane in lanes:
        yield _lane(lane)
    if lanes and len(lanes) == len(config.lanes) and all(lane.off_because for lane in lanes):
        yield fail(
            "lanes", "every lane is off: nobody can answer", "set a key or an address that is named above"
        )


def _lane(lane: HttpLane) -> Finding:
    check = f"lane {lane.name}"
    try:
        why = lane.off_because
    except (OSError, UnicodeDecodeError) as error:
        return fail(
            check, f"its key cannot be read: {type(error).__name__}", "make the file readable for this user"
        )
    if why:
        return warn(check, f"off: {why.partition(':')[0]}", why.partition(": ")[2] + ", or leave it off")
    return ok(
        check, "its address and key are there" if lane.api_key else "its address is there; it wants no key"
    )


def _resolved(path: str, reference: EnvRef | FileRef) -> Finding:
    where = reference.env if isinstance(reference, EnvRef) else str(reference.file)
    try:
        found = bool(reference.resolve())
    except (OSError, UnicodeDecodeError) as error:
        return fail(path, f"{where} cannot be read: {type(error).__name__}", "make it readable for this user")
    if found:
        return ok(path, f"{where} is set")
    return warn(path, f"{where} is not set or empty: the default holds", f"set {where}")


def _references(value: object, path: str) -> Iterator[tuple[str, EnvRef | FileRef]]:
    if isinstance(value, EnvRef | FileRef):
        yield path.removeprefix("."), value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _references(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _references(inner, f"{path}.{key}")
    elif isinstance(value, tuple | list):
        for number, inner in enumerate(value):
            yield from _references(inner, f"{path}.{number}")


def keys(config: Config) -> Finding:
    """Whether anybody can call."""
    if config.keys.mode == "open":
        return ok("keys", f"mode open: everybody on this machine may call {config.server.host}")
    try:
        entries = (
            keys_file.read(config.keys.file)
            if config.keys.file
            else KeyStore(config.keys.database(config.state.resolve())).entries()
        )
    except (KeyStoreError, ConfigError, OSError) as error:
        return fail("keys", f"cannot be read: {error}", "until they can, everybody gets 401")
    live = sum(entry.state(time.time()) == "active" for entry in entries)
    if not live:
        return warn("keys", "mode required, and nobody has a key", "pointsman keys create --name NAME")
    return ok("keys", f"mode required, {live} key(s) work")


def database(config: Config) -> Iterator[Finding]:
    """The state's folder and file, or its server: reachable, whole, and with the same time."""
    try:
        url = make_url(config.state.resolve() or default_url())
    except (ArgumentError, ValueError, OSError):
        yield fail(
            "database",
            "state.url is no database URL",
            "sqlite:////absolute/path or postgresql://host/database",
        )
        return
    if url.get_backend_name() == "postgresql":
        yield _server(url.render_as_string(hide_password=False))
    elif (place := _sqlite_file(config)) is not None:
        yield _file(place)
    else:
        yield fail(
            "database", f"{url.get_backend_name()} is not known", "a file of SQLite or a server of PostgreSQL"
        )


def _server(url: str) -> Finding:
    try:
        server = Server(url)
        with server.engine.connect() as connection:
            theirs = float(
                connection.execute(text("SELECT extract(epoch from clock_timestamp())")).scalar_one()
            )
    except (ConfigError, SQLAlchemyError) as error:
        kind = type(error.__cause__ or error).__name__
        return fail(
            "database", f"PostgreSQL does not answer: {kind}", "state.url, its user and password; is it up?"
        )
    if abs(theirs - time.time()) > SKEW_S:
        return warn(
            "database",
            f"{server.name}: its clock is {theirs - time.time():+.0f} s off ours",
            "use NTP on both",
        )
    return ok("database", f"{server.name} answers")


def _file(place: Path) -> Finding:
    folder = _existing(place.parent)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return fail("database", f"{folder} cannot be written: {error.strerror}", "chown it, or set state.url")
    if not place.exists():
        return ok("database", f"{place} will be made at the first start")
    try:
        with sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=5) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
        connection.close()
    except sqlite3.Error as error:
        return fail("database", f"{place}: {error}", "restore it from a backup (docs/operations.md)")
    return ok("database", f"{place} opens")


def _sqlite_file(config: Config) -> Path | None:
    url = make_url(config.state.resolve() or default_url())
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _existing(place: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(folder for folder in (place, *place.parents) if folder.is_dir())
