"""The models on this machine: `path` finds a ready one, `ensure` makes it so. It does not know their use."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.filesize import decimal

from models import lock, manifest
from models.convert import convert
from models.errors import ModelMissing
from models.fetch import fetch
from models.lock import Artefact, Lock
from models.manifest import Manifest
from models.watch import Silent, Watch

State = Literal["ready", "missing", "damaged"]


def cache_root() -> Path:
    if own := os.environ.get("POINTSMAN_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "pointsman"


def path(name: str) -> Path:
    """The ready-to-load folder of a model; `ModelMissing` says what to run if there is none."""
    return Store(lock.shipped(), cache_root()).path(name)


def ensure(name: str, watch: Watch | None = None) -> Path:
    """Like `path`, but fetches and converts what is missing."""
    return Store(lock.shipped(), cache_root()).ensure(name, watch or Silent())


@dataclass(frozen=True)
class Store:
    lock: Lock
    root: Path

    def path(self, name: str) -> Path:
        folder = self.folder(self.lock.find(name))
        state = self.state(name)
        if state == "ready":
            return folder
        raise ModelMissing(f"model {name} is {state} in {folder}; run: pointsman models fetch {name}")

    def ensure(self, name: str, watch: Watch) -> Path:
        artefact = self.lock.find(name)
        if self.state(name) != "ready":
            with self._alone(name, watch):
                if self.state(name) != "ready":
                    self._make(artefact, watch)
        return self.path(name)

    def state(self, name: str) -> State:
        """Cheap while size and time of every file are as recorded; otherwise every byte is read."""
        artefact = self.lock.find(name)
        folder = self.folder(artefact)
        record = self._record(artefact)
        if record is None:
            return "missing"
        return "ready" if record.unchanged(folder) or not record.damaged(folder) else "damaged"

    def verify(self, name: str) -> list[str]:
        """The damaged files, by reading every byte; `ModelMissing` if there are none to read."""
        artefact = self.lock.find(name)
        record = self._record(artefact)
        if record is None:
            raise ModelMissing(f"model {name} is missing; run: pointsman models fetch {name}")
        return record.damaged(self.folder(artefact))

    def folder(self, artefact: Artefact) -> Path:
        return self.root / artefact.name / ("safetensors" if artefact.convert else "files")

    def _record(self, artefact: Artefact) -> Manifest | None:
        """None too for a record of files that lock.toml no longer names."""
        found = manifest.read(self.folder(artefact))
        return found if found and found.source == artefact.hashes else None

    def _make(self, artefact: Artefact, watch: Watch) -> None:
        home, ready = self.root / artefact.name, self.folder(artefact)
        source = home / "files"
        watch.note(f"fetching {artefact.name}, {decimal(artefact.size)}, into {home}")
        fetch(artefact, source, home / "wheels", watch)
        if artefact.convert is None:
            Manifest.of(ready, artefact, {}).save(ready)
            return
        watch.note(f"converting {artefact.name}; this takes about a minute, once")
        fresh = home / "converting"
        shutil.rmtree(fresh, ignore_errors=True)
        made_with = convert(source / artefact.files[0].name, fresh, watch)
        Manifest.of(fresh, artefact, made_with).save(fresh)
        shutil.rmtree(ready, ignore_errors=True)
        fresh.rename(ready)

    @contextmanager
    def _alone(self, name: str, watch: Watch) -> Iterator[None]:
        """One process at a time. The kernel lets go of the lock when its holder dies, however it dies."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f"{name}.lock").open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                watch.note(f"another process is fetching {name}; waiting for it")
                fcntl.flock(held, fcntl.LOCK_EX)
            yield
