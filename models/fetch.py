"""Brings the files of an artefact into a folder, each checked while it arrives. It does not know what for.

A file gets its name only when all of it is there and its sha256 is right; whatever stops the work before that
leaves at most a hidden partial file, which the next run overwrites.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from models.checksum import sha256_of
from models.errors import FetchFailed, SourceFailed, SourceUnreachable
from models.lock import Artefact, File
from models.sources import Source, sources_of
from models.watch import Step, Watch


def fetch(artefact: Artefact, folder: Path, scratch: Path, watch: Watch) -> None:
    sources = sources_of(artefact, scratch)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in artefact.files:
            if not intact(folder / file.name, file):
                fetch_file(file, folder / file.name, sources, watch)
        shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise FetchFailed(f"{error}; make room there, or name another folder in POINTSMAN_CACHE") from error


def intact(path: Path, file: File) -> bool:
    return path.is_file() and path.stat().st_size == file.size and sha256_of(path) == file.sha256


def fetch_file(file: File, target: Path, sources: list[Source], watch: Watch) -> None:
    refusals: list[str] = []
    for source in list(sources):
        try:
            receive(file, target, source, watch)
        except SourceFailed as failure:
            refusals.append(f"{source.label}: {failure}")
            watch.note(f"{file.name} not from {refusals[-1]}")
            if isinstance(failure, SourceUnreachable):
                sources.remove(source)
        else:
            return
    raise FetchFailed(not_had(file, refusals))


def not_had(file: File, refusals: list[str]) -> str:
    tried = "\n".join(f"  - {refusal}" for refusal in refusals) or "  - no source is allowed or known"
    return (
        f"{file.name} could not be fetched:\n{tried}\n"
        "Check the network and pip's settings, then run: pointsman models fetch (it keeps what is complete)"
    )


def receive(file: File, target: Path, source: Source, watch: Watch) -> None:
    partial = target.with_name(f".{target.name}.partial")
    try:
        got = write(partial, source.chunks(file, watch), file, watch)
        if got != file.sha256:
            raise SourceFailed(f"wrong sha256, refused: expected {file.sha256}, got {got}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write(partial: Path, chunks: Iterable[bytes], file: File, watch: Watch) -> str:
    """The sha256 of what arrived."""
    digest, size = hashlib.sha256(), 0
    with partial.open("wb") as out:
        for chunk in chunks:
            size += len(chunk)
            if size > file.size:
                raise SourceFailed(f"longer than the expected {file.size} bytes, refused")
            digest.update(chunk)
            out.write(chunk)
            watch.step(Step(file.name, size, file.size))
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()
