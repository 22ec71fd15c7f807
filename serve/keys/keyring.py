"""The keys of one router process: an immutable snapshot, read again every two seconds off the event loop.

While the keys cannot be read the last snapshot stands for a bounded time; then, or without one, nobody is let in.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from serve.errors import KeysUnavailable, KeysUnreadable, Unauthorized
from serve.keys import credential, file
from serve.keys.config import KeysConfig, LimitsConfig
from serve.keys.entry import KeyEntry, snapshot
from serve.keys.rights import ANONYMOUS, Key

log = logging.getLogger("pointsman.keys")

FIRST_READ_S = 5.0
_NOBODY = replace(ANONYMOUS, sha256=credential.NOBODYS)
Read = Callable[[], list[KeyEntry]]


def source(config: KeysConfig, state_url: str | None) -> Read:
    """How to read the entries of this configuration; what it gives may raise KeysUnreadable.

    `state_url`: where everything else is kept, None for the default.
    """
    if (path := config.file) is not None:
        return lambda: file.read(path)
    from serve.keys.store import KeyStore  # SQLAlchemy is slow to import: only where there is a database

    return KeyStore(config.database(state_url)).entries


class Keyring:
    """Finds the key that a caller presents. `defaults` gives the limits of keys that have none of their own."""

    def __init__(
        self, config: KeysConfig, defaults: Callable[[], LimitsConfig], state_url: str | None = None
    ) -> None:
        self._config, self._defaults = config, defaults
        self._read = source(config, state_url)
        self._keys: Mapping[str, Key] | None = None
        self._read_at = 0.0
        self._fault = ""
        self._tried = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    async def find(self, presented: str) -> Key:
        """The key. Raises Unauthorized for one that does not work, KeysUnavailable when nobody can know."""
        parts = credential.split(presented)
        if parts is None:
            raise Unauthorized
        public, secret = parts
        # An unknown id takes the same path as a wrong secret, up to the same comparison.
        key = (await self._current()).get(public, _NOBODY)
        if not credential.matches(secret, key.sha256):
            raise Unauthorized
        if key.expires is not None and key.expires <= time.time():
            raise Unauthorized
        return key

    async def _current(self) -> Mapping[str, Key]:
        # Started by the first request, so that it needs no start hook; and again, should it ever have died.
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._refresh())
        if self._keys is None:
            try:
                async with asyncio.timeout(FIRST_READ_S):
                    await self._tried.wait()
            except TimeoutError:
                raise KeysUnavailable from None
        if self._keys is None or time.monotonic() - self._read_at > self._config.stale_s:
            raise KeysUnavailable
        return self._keys

    async def _refresh(self) -> None:
        while True:
            started = time.monotonic()
            try:
                entries = await asyncio.to_thread(self._read)
            except KeysUnreadable as error:
                self._say(str(error))
            else:
                self._keys, self._read_at = snapshot(entries, self._defaults()), started
                self._say("")
            self._tried.set()
            await asyncio.sleep(self._config.refresh_s)

    def _say(self, fault: str) -> None:
        if fault and fault != self._fault:
            log.error(
                "the keys cannot be read, the last ones stand for %g s: %s", self._config.stale_s, fault
            )
        elif self._fault and not fault:
            log.warning("the keys can be read again")
        self._fault = fault
