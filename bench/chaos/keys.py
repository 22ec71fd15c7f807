"""Keys in a file, as Kubernetes mounts them: made and taken away while Pointsman runs."""

from pathlib import Path
from typing import Any

from serve.keys import credential, file
from serve.keys.entry import Grant, KeyEntry


class KeyFile:
    """The file is put in place whole: a Router that reads it sees all of a change or nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, KeyEntry] = {}

    def create(self, name: str, **grant: Any) -> str:
        """A new key that works as soon as the Routers have read the file again."""
        public, key, sha256 = credential.mint()
        self._entries[name] = KeyEntry(id=public, name=name, sha256=sha256, grant=Grant(**grant))
        self._write()
        return key

    def revoke(self, name: str) -> None:
        """The key is no more."""
        del self._entries[name]
        self._write()

    def _write(self) -> None:
        whole = self.path.with_suffix(".tmp")
        whole.write_text("keys:\n" + "".join(map(file.written, self._entries.values())))
        whole.replace(self.path)
