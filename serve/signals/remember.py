"""What a signal made of a text that comes again: system prompts, tool schemas and earlier turns are sent every time.

Keeps a keyed digest of each text and never the text. Does not know what is remembered.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from threading import Lock
from typing import Generic, TypeVar

# Shorter texts are read about as fast as they are looked up.
WORTH_CHARACTERS = 400

_T = TypeVar("_T")


class Remember(Generic[_T]):
    """The readings of the last `most` distinct texts, for a reader that always says the same of the same text.

    Any number of threads may share one. A reader that fails is asked again the next time.
    """

    __slots__ = ("_found", "_key", "_lock", "_most", "_read")

    def __init__(self, read: Callable[[str], _T], most: int) -> None:
        self._read = read
        self._most = most
        # With a key of its own, what this process holds tells nobody whether it saw a text they know.
        self._key = os.urandom(32)
        self._found: OrderedDict[bytes, _T] = OrderedDict()
        self._lock = Lock()

    def of(self, text: str) -> _T:
        """What the reader says of `text`. Raises what the reader raises."""
        if len(text) < WORTH_CHARACTERS:
            return self._read(text)
        name = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=self._key).digest()
        with self._lock:
            if name in self._found:
                self._found.move_to_end(name)
                return self._found[name]
        found = self._read(text)
        with self._lock:
            self._found[name] = found
            if len(self._found) > self._most:
                self._found.popitem(last=False)
        return found

    def __len__(self) -> int:
        return len(self._found)
