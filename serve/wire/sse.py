"""Server-sent events as they come in: bytes in whatever slices, events out.

Follows the HTML standard (section 9.2.6), except that bytes which are not UTF-8 are an error.
Knows nothing of what an event means.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

# A chunk of an answer is some hundred bytes; a whole answer sent as one event is still below this.
MOST_BYTES = 1 << 20
_LINE_END = re.compile(rb"\r\n?|\n")
_BOM = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event grew past the limit before it ended."""


@dataclass(frozen=True, slots=True)
class Event:
    """`name` is empty where the stream gave none; `data` has its lines joined by newlines."""

    name: str
    data: str


class Decoder:
    """One stream long. Keeps at most `most` bytes of an event that is not complete."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._line = bytearray()
        self._first, self._after_cr = True, False
        self._name, self._data, self._size = "", list[str](), 0

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises EventTooLong, and UnicodeDecodeError for bad UTF-8."""
        if not data:
            return []
        events: list[Event] = []
        start = 1 if self._after_cr and data.startswith(b"\n") else 0
        for end in _LINE_END.finditer(data, start):
            self._grow(data[start : end.start()])
            if (event := self._ended()) is not None:
                events.append(event)
            start = end.end()
        self._grow(data[start:])
        # The line feed of a CRLF may still be on its way.
        self._after_cr = data.endswith(b"\r")
        return events

    def _grow(self, more: bytes) -> None:
        if self._size + len(self._line) + len(more) > self._most:
            raise EventTooLong(f"an event is longer than {self._most} bytes")
        self._line += more

    def _ended(self) -> Event | None:
        """The event that this line ends, if it is an empty one that ends any."""
        line = bytes(self._line)
        self._line.clear()
        if self._first:
            line, self._first = line.removeprefix(_BOM), False
        if line:
            self._field(line)
            return None
        event = Event(self._name, "\n".join(self._data)) if self._data else None
        self._name, self._data, self._size = "", [], 0
        return event

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(text.decode())
            self._size += len(line)
        elif name == b"event":
            self._name = text.decode()


async def events(source: AsyncIterator[bytes]) -> AsyncGenerator[Event, None]:
    """The events with data in `source`. One that the end of the stream cuts off does not count."""
    decoder = Decoder()
    async for data in source:
        for event in decoder.feed(data):
            if event.data:
                yield event
