"""What every section of the configuration is made of: strict models, names, and values that live elsewhere."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class Strict(BaseModel):
    """Unknown keys are mistakes, and a loaded configuration never changes."""

    # Defaults are validated so that 30 and 30.0 are one version.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class EnvRef(Strict):
    """A value that lives in the environment, so that no secret stands in a file."""

    env: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")]
    default: str | None = None

    def resolve(self) -> str | None:
        """The value now, or the default; an empty variable counts as unset."""
        return os.environ.get(self.env) or self.default


class FileRef(Strict):
    """A value that lives in a file, as Kubernetes mounts secrets."""

    file: Path

    def resolve(self) -> str | None:
        """The stripped content, None when the file is not there."""
        return self.file.read_text().strip() if self.file.is_file() else None
