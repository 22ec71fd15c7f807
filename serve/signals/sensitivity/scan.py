"""The scan: every detector over every reading of every text in a request.

Knows that doubt is confidential: what cannot be read, decoded or checked is a finding. Does
not know what any detector looks for.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TypeVar

from serve.request import Leaf, RequestView
from serve.signals.readings import Finding, Sensitivity, SensitivityReading
from serve.signals.sensitivity import (
    abroad,
    business,
    contact,
    credentials,
    health,
    identifiers,
    labels,
    people,
    places,
    traces,
)
from serve.signals.sensitivity.breaks import broken
from serve.signals.sensitivity.decode import decode
from serve.signals.sensitivity.fold import BACKWARDS, filled, fold, forwards
from serve.signals.sensitivity.levels import finding
from serve.signals.sensitivity.own import NOTHING, Own
from serve.signals.sensitivity.unquote import unquote
from serve.signals.sensitivity.views import JOINED_PATHS, joined, openings, safe_path

_CHUNK = 1 << 20
_OVERLAP = 1 << 12
# A blank line: no pattern reads across two of them, and no encoded run does.
_SEPARATOR = b"\n\n"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Detector:
    """Something that names the rules true of a text. `suspects` may not miss what `find` finds."""

    name: str
    suspects: Callable[[bytes], bool]
    find: Callable[[bytes], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Text:
    """One reading of one text, in UTF-8, and the path it came from."""

    path: str
    data: bytes


DETECTORS: tuple[Detector, ...] = (
    Detector("identifiers", identifiers.RULES.suspects, identifiers.RULES.find),
    Detector("identifiers", abroad.RULES.suspects, abroad.RULES.find),
    Detector("contact", contact.RULES.suspects, contact.RULES.find),
    Detector("secrets", credentials.RULES.suspects, credentials.RULES.find),
    Detector("labels", labels.suspects, labels.find),
    Detector("business", business.RULES.suspects, business.RULES.find),
    Detector("health", health.RULES.suspects, health.RULES.find),
    Detector("traces", traces.suspects, traces.find),
    Detector("places", places.suspects, places.find),
    Detector("people", people.suspects, people.find),
)


def read(view: RequestView, own: Own = NOTHING) -> SensitivityReading:
    """The class of a request. Pure, synchronous, linear in the size of the request.

    `own` adds the words of an organisation and raises the class of rules.
    """
    findings = [finding("opaque", "unreadable_part", safe_path(path)) for path in view.opaque]
    texts, lines, unread = _safely("reading", lambda: _readings(view), lambda failed: ([], [], [failed]))
    findings += unread
    for detector in (*DETECTORS, Detector("dictionary", bool, own.find)):
        seen = texts + lines if detector.name == "labels" else texts
        findings += _safely(detector.name, partial(_sweep, detector, seen, own), lambda failed: [failed])
    level = max((found.level for found in findings), default=Sensitivity.PUBLIC)
    return SensitivityReading(level, _distinct(findings))


def _distinct(findings: list[Finding]) -> tuple[Finding, ...]:
    """Each finding once; one in a joined text only if no single leaf explains it."""
    placed = {found.rule for found in findings if found.path not in JOINED_PATHS}
    kept = (found for found in findings if found.path not in JOINED_PATHS or found.rule not in placed)
    return tuple(dict.fromkeys(kept))


def _safely(name: str, work: Callable[[], _T], instead: Callable[[Finding], _T]) -> _T:
    """What `work` gives, or `instead` of a failure: a detector that fails has found something."""
    try:
        return work()
    except Exception:
        return instead(finding(name, "detector_failed", "request"))


def _sweep(detector: Detector, texts: Iterable[Text], own: Own) -> list[Finding]:
    """What one detector finds. Nearly all requests end at the first line: one pass, no suspicion."""
    if not detector.suspects(_SEPARATOR.join(text.data for text in texts)):
        return []
    return [
        own.finding(detector.name, rule, text.path) for text in texts for rule in detector.find(text.data)
    ]


def _readings(view: RequestView) -> tuple[list[Text], list[Text], list[Finding]]:
    """What every detector reads, what only markings are looked for in, and what could not be read."""
    unquoted = [(leaf.path, unquote(leaf.text)) for leaf in view.leaves]
    findings = [
        finding("opaque", "opaque_blob", safe_path(path))
        for path, readings in unquoted
        if not all(one.settled for one in readings)
    ]
    inner = (
        Leaf(path, text)
        for path, readings in unquoted
        for one in readings
        for text in (one.whole, *one.strings)
    )
    told = replace(view, leaves=tuple(Leaf(path, readings[0].whole) for path, readings in unquoted))
    texts, unread = _unfold(chain(inner, joined(told)))
    # For markings alone: in texts that repeat, others would find a number beside the word of another text.
    lines, unclear = _unfold(openings(told))
    return texts, lines, findings + unread + unclear


def _unfold(leaves: Iterable[Leaf]) -> tuple[list[Text], list[Finding]]:
    """Every distinct reading of every text, and the blobs that stayed closed."""
    paths: dict[str, str] = {}
    findings: list[Finding] = []
    for leaf in leaves:
        for text in _chunks(leaf.text):
            if text not in paths:
                opaque = _read_into(paths, safe_path(leaf.path), text)
                findings += [finding("opaque", "opaque_blob", safe_path(leaf.path))] if opaque else []
    return [Text(path, text.encode()) for text, path in paths.items()], findings


def _read_into(paths: dict[str, str], path: str, text: str) -> bool:
    """Adds the plain, folded and decoded readings of `text`. True if part of it stayed closed."""
    paths.setdefault(text, path)
    # What runs backwards may have been escaped before it was turned around, or after.
    written = (text, forwards(text)) if BACKWARDS in text else (text,)
    opaque = [_unwrap_into(paths, path, one) for one in written]
    opaque += [_unwrap_into(paths, path, form) for form in (filled(text), broken(text)) if form]
    return any(opaque)


def _unwrap_into(paths: dict[str, str], path: str, text: str) -> bool:
    folded = fold(text)
    decoded = decode(folded.text)
    inner = [fold(found) for found in decoded.texts]
    for reading in (folded.text, *decoded.texts, *(one.text for one in inner)):
        paths.setdefault(reading, path)
    return decoded.opaque or not all(one.settled for one in (folded, *inner))


def _chunks(text: str) -> Iterator[str]:
    """`text` in pieces of bounded size that overlap by more than the longest value."""
    text = text.encode("utf-8", "replace").decode()
    for start in range(0, max(1, len(text) - _OVERLAP), _CHUNK - _OVERLAP):
        yield text[start : start + _CHUNK]
