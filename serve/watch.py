"""`pointsman up` follows its configuration file: what is whole, right and hot is applied, all else is told.

Knows one file. Does not know Ray: whoever starts it says how a configuration is applied.
"""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from serve import hot, yaml_file
from serve.config import Config, parse
from serve.errors import ConfigError

EVERY_S = 0.25
"""How often the file is looked at."""


class Watch:
    """Compares the file with what runs. One bad state of the file is told once."""

    def __init__(
        self,
        path: Path,
        running: Config,
        adjust: Callable[[Config], Config],
        apply: Callable[[Config], None],
        console: Console,
    ) -> None:
        self._path, self._running = path, running
        self._adjust, self._apply, self._console = adjust, apply, console
        # The file may have changed while Pointsman was starting: the first look finds out.
        self._handled: bytes | str | None = None
        self._pending: bytes | str | None = None

    def look(self, now: bool = False) -> None:
        """Apply a changed file once it reads the same twice in a row: then nobody is still writing it.

        `now` takes it as it is, and says so even if nothing has changed.
        """
        content = self._content()
        settled, self._pending = content == self._pending, content
        if now or (settled and content != self._handled):
            self._handled = content
            self._take(content, now)

    def _take(self, content: bytes | str, asked: bool) -> None:
        try:
            changes = self._changes(content)
        except (ConfigError, RuntimeError) as error:
            self._say(f"Not reloaded, what runs goes on as before. {error}", "red")
            return
        if changes:
            heading = f"Reloaded {self._path}, policy {self._running.version[:12]}:"
            self._say("\n  ".join([heading, *changes]), "green")
        elif asked:
            self._say(f"{self._path} says what already runs.", "green")

    def _changes(self, content: bytes | str) -> list[str]:
        """Apply what the file says; what changed by that. Raises ConfigError, or what `apply` raises."""
        if isinstance(content, str):
            raise ConfigError(content)
        config = self._adjust(parse(content, self._path))
        hot.refuse(hot.fixed_changes(self._running, config))
        changes = hot.hot_changes(self._running, config)
        if changes:
            self._apply(config)
            self._running = config
        return changes

    def _content(self) -> bytes | str:
        """The file's bytes, or in words why there are none."""
        try:
            return yaml_file.read(self._path)
        except ConfigError as error:
            return str(error)

    def _say(self, text: str, style: str) -> None:
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
