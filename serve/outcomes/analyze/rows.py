"""A file as rows of JSON, one for each request or each row of a usage export.

Takes JSON lines, the pages of a provider's usage API (one a line, or one file), a list of objects, and CSV with the
names of its columns in the first line. Quotes nothing.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import chain

from pydantic import JsonValue

from serve.outcomes.analyze.counts import Fields

LONGEST = 64 << 20
"""Bytes of one file that is a single document."""
_COLUMNS = frozenset({"model", "model_version", "snapshot_id"})

Lines = Iterator[tuple[int, bytes]]


def rows(log: Iterable[bytes]) -> Lines:
    """(number of its line, or of its row in a document, from 1; JSON). What is neither comes as it is."""
    lines: Lines = ((number, line) for number, line in enumerate(log, 1) if line.strip())
    number, first = next(lines, (1, b""))
    if not first:
        return
    if columns := _columns(first):
        yield from _table(columns, lines)
        return
    if not _is_object(first):
        kept, whole = _document(first, lines)
        if whole is not None:
            yield from enumerate((json.dumps(one).encode() for one in whole), 1)
            return
        lines = chain(kept, lines)
    for at, line in chain([(number, first)], lines):
        page = _rows_of_page(_parsed(line)) if b'"results"' in line else None
        for one in [line] if page is None else (json.dumps(row).encode() for row in page):
            yield at, one


def _columns(line: bytes) -> list[str]:
    """The names in the first line of a CSV, none where it is something else."""
    if line.lstrip()[:1] in (b"{", b"["):
        return []
    try:
        names = next(csv.reader([line.decode("utf-8-sig").strip()]), [])
    except (UnicodeDecodeError, csv.Error):
        return []
    return names if _COLUMNS & set(names) else []


def _table(columns: list[str], lines: Lines) -> Lines:
    for number, line in lines:
        try:
            cells = next(csv.reader([line.decode("utf-8").strip()]), [])
        except (UnicodeDecodeError, csv.Error):
            yield number, b""
            continue
        row = {name: _cell(cell) for name, cell in zip(columns, cells, strict=False) if cell}
        yield number, json.dumps(row).encode()


def _cell(text: str) -> str | int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else text


def _is_object(line: bytes) -> bool:
    return isinstance(_parsed(line), dict)


def _document(first: bytes, lines: Lines) -> tuple[list[tuple[int, bytes]], list[JsonValue] | None]:
    """What was read of the file, and the rows of the one document that it is; None: it is none."""
    kept: list[tuple[int, bytes]] = []
    size = len(first)
    for number, line in lines:
        kept.append((number, line))
        size += len(line)
        if size > LONGEST:
            return kept, None
    value = _parsed(b"".join([first, *(line for _, line in kept)]))
    if isinstance(value, list):
        return kept, value
    if not isinstance(value, dict):
        return kept, None
    page = _rows_of_page(value)
    return kept, [value] if page is None else page


def _rows_of_page(value: JsonValue) -> list[JsonValue] | None:
    """The results in the buckets of a page of a usage API; None: it is no page."""
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list) or not all(isinstance(bucket, dict) for bucket in data):
        return None
    buckets: list[Fields] = [bucket for bucket in data if isinstance(bucket, dict)]
    found = [bucket.get("results") for bucket in buckets]
    if not all(isinstance(results, list) for results in found):
        return None
    return [row for results in found if isinstance(results, list) for row in results]


def _parsed(text: bytes) -> JsonValue:
    """None where it is no JSON."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value
