"""Cases: rows of evaluation files and what the sensitivity signal should say of each.

Knows the schemas of the sets. Judges and measures nothing.
"""

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Part = Literal["all", "dev", "held-out"]
Row = Mapping[str, Any]

# A span of one of these types identifies somebody by itself; a street address does with a name beside it.
IDENTIFYING = frozenset(
    ("CREDIT_CARD", "IBAN_CODE", "US_SSN", "US_DRIVER_LICENSE", "PHONE_NUMBER", "EMAIL_ADDRESS", "IP_ADDRESS")
)
# Spans of these types say nothing of a person while they stand alone.
_IMPERSONAL_TYPES = """
    GPE LOCATION LOC ORGANIZATION ORG DATE_TIME DATE TIME TITLE NRP DOMAIN_NAME URL AGE ZIP_CODE O
    """
_IMPERSONAL = frozenset(_IMPERSONAL_TYPES.split())
_CONFIDENTIAL_NAMES = """
    proprietary_code trade_secret_ip business_strategy operational_infrastructure customer_data pii
    credential_exfiltration confidential
    """
_CONFIDENTIAL_LABELS = frozenset(_CONFIDENTIAL_NAMES.split())
_INTERNAL_LABELS = frozenset(("internal_document", "internal"))
_PUBLIC_NAMES = """
    simple_task general_knowledge generic_coding architecture_analysis root_cause_analysis
    multi_step_tradeoffs public
    """
_PUBLIC_LABELS = frozenset(_PUBLIC_NAMES.split())
_PUBLIC_SETS = ("prompts_", "public_", "constraints_ifeval")


class DataUnreadable(Exception):
    """The message names the file, the line and the fault."""


@dataclass(frozen=True, slots=True)
class Case:
    """One text and what is true of it. A truth of None is unknown, so the case does not count for it.

    confidential  must be confidential
    internal      must be internal or higher
    public        must not be flagged at all
    types         what `by_type` counts it under
    """

    text: str
    confidential: bool | None
    internal: bool | None
    public: bool
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Source:
    """One file of one set."""

    set: str
    file: str
    path: Path


def sources(data: Path) -> list[Source]:
    """The files to measure: those of the sets in `data`, or of `data` where it is itself a set.

    Raises DataUnreadable when there is none.
    """
    if not data.is_dir():
        raise DataUnreadable(
            f"{data} is not a folder. Give --data a folder that holds sets of *.jsonl.gz files."
        )
    folders = [data] if _files(data) else sorted(entry for entry in data.iterdir() if entry.is_dir())
    found = [Source(folder.name, _stem(path), path) for folder in folders for path in _files(folder)]
    kept = [source for source in found if len(folders) == 1 or _is_subject(source)]
    if not kept:
        raise DataUnreadable(
            f"{data} holds no set to measure: no pii_*, secrets_*, sensitivity_* or public prompts."
        )
    return kept


def cases(source: Source, part: Part = "all") -> list[Case]:
    """The cases of one file. Raises DataUnreadable."""
    found = []
    for number, row in _rows(source.path):
        try:
            if part == "all" or _is_dev(row) == (part == "dev"):
                found.append(_case(source.set, row))
        except (KeyError, TypeError, ValueError) as error:
            raise DataUnreadable(f"{source.path}, line {number}: {type(error).__name__}: {error}") from error
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith((".jsonl", ".jsonl.gz")))


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def _is_subject(source: Source) -> bool:
    """By name, or, for a folder with another name, by a first row that says what is personal or secret."""
    if source.set.startswith(("pii_", "secrets_", "sensitivity_", *_PUBLIC_SETS)):
        return True
    first = next((row for _, row in _rows(source.path)), {})
    return "spans" in first or "pii_units" in first or ("b64" in first and "label" in first)


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataUnreadable(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(raw.splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise DataUnreadable(f"{path}, line {number} is not JSON: {error}") from error


def _is_dev(row: Row) -> bool:
    """Half of all rows; rows made from one template, and equal texts, stay together."""
    key = str(row.get("template_id") or row.get("prompt") or row.get("text") or row.get("b64"))
    return hashlib.sha256(key.encode()).digest()[0] % 2 == 0


def _case(folder: str, row: Row) -> Case:
    if "b64" in row:
        leaks = int(row["label"]) == 1
        text = base64.b64decode(row["b64"]).decode("utf-8", "replace")
        return Case(text, leaks, None, False, frozenset((str(row.get("kind", "secret")),)))
    if "spans" in row:
        return _spanned(_text(row), frozenset(span["type"] for span in row["spans"]))
    if "pii_units" in row:
        personal = bool(row["pii_units"])
        return Case(_text(row), None, personal, False, frozenset((str(row.get("category", "pii")),)))
    label = str(row.get("label", "")).lower()
    if label and folder.startswith("sensitivity_"):
        return _labelled(_text(row), label)
    return Case(_text(row), False, False, True, frozenset())


def _spanned(text: str, types: frozenset[str]) -> Case:
    identifies = bool(types & IDENTIFYING) or {"STREET_ADDRESS", "PERSON"} <= types
    return Case(text, identifies, bool(types - _IMPERSONAL), False, types)


def _labelled(text: str, label: str) -> Case:
    known = label in _CONFIDENTIAL_LABELS | _INTERNAL_LABELS | _PUBLIC_LABELS
    confidential = label in _CONFIDENTIAL_LABELS if known else None
    internal = label not in _PUBLIC_LABELS if known else None
    return Case(text, confidential, internal, label in _PUBLIC_LABELS, frozenset((label,)))


def _text(row: Row) -> str:
    text = row["prompt"] if "prompt" in row else row["text"]
    if not isinstance(text, str):
        raise TypeError("prompt or text must be a string")
    return text
