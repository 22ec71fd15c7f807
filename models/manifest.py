"""The record beside ready files: what they are and what they were made from. It does not know how.

Size and modification time are kept too, so that a start need not read gigabytes to see that nothing changed.
"""

from pathlib import Path
from typing import Self

from pydantic import ValidationError

from models.checksum import sha256_of
from models.lock import Artefact, PlainName, Sha256, Strict

NAME = "manifest.json"


class Record(Strict):
    sha256: Sha256
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        stat = path.stat()
        return cls(sha256=sha256_of(path), size=stat.st_size, mtime_ns=stat.st_mtime_ns)

    def same_stat(self, path: Path) -> bool:
        return path.is_file() and (path.stat().st_size, path.stat().st_mtime_ns) == (self.size, self.mtime_ns)

    def same_bytes(self, path: Path) -> bool:
        return path.is_file() and path.stat().st_size == self.size and sha256_of(path) == self.sha256


class Manifest(Strict):
    name: str
    source: dict[PlainName, Sha256]
    made_with: dict[str, str]
    files: dict[PlainName, Record]

    @classmethod
    def of(cls, folder: Path, artefact: Artefact, made_with: dict[str, str]) -> Self:
        files = {path.name: Record.of(path) for path in sorted(folder.iterdir()) if is_content(path)}
        return cls(name=artefact.name, source=artefact.hashes, made_with=made_with, files=files)

    def save(self, folder: Path) -> None:
        partial = folder / f".{NAME}.partial"
        partial.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.replace(folder / NAME)

    def unchanged(self, folder: Path) -> bool:
        return all(record.same_stat(folder / name) for name, record in self.files.items())

    def damaged(self, folder: Path) -> list[str]:
        """Reads every byte."""
        return [name for name, record in self.files.items() if not record.same_bytes(folder / name)]


def read(folder: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json((folder / NAME).read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        return None


def is_content(path: Path) -> bool:
    return path.is_file() and path.name != NAME and not path.name.startswith(".")
