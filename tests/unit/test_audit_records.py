"""Row A6: the schema has no room for content, and events are taken only by their allow-list."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import JsonValue, ValidationError

from serve.audit.config import AuditConfig
from serve.audit.export import COLUMNS
from serve.audit.records import EVENT_FIELDS, EVENTS, SHEETS, Answered, event

SENTENCE = "call Mrs. Smith about it"


def strings(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every place of a JSON schema that takes a string."""
    if schema.get("type") == "string":
        yield schema
    for value in schema.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield from strings(item)


@pytest.mark.parametrize("kind", SHEETS)
def test_no_field_takes_free_text(kind: str) -> None:
    for place in strings(SHEETS[kind].model_json_schema(by_alias=True)):
        closed = "enum" in place or "const" in place
        assert closed or not re.search(place["pattern"], SENTENCE), f"{kind}: {place}"


def test_this_would_notice_a_free_text() -> None:
    (place,) = strings({"properties": {"note": {"type": "string"}}})
    assert "pattern" not in place


def test_a_sheet_refuses_text_and_unknown_fields() -> None:
    good = {"lane": "local", "location": "device", "model": "qwen2.5:0.5b", "revision": "none"}
    Answered.model_validate(good)
    for wrong in ({"model": SENTENCE}, {"location": "moon"}, {"prompt": "x"}):
        with pytest.raises(ValidationError):
            Answered.model_validate(good | wrong)


@pytest.mark.parametrize(
    ("kind", "fields", "fault"),
    [
        ("review_approved", {"note": 1}, "no field 'note'"),
        ("review_approved", {"code": SENTENCE}, "code"),
        ("review_approved", {"count": 0.5}, "count"),
        ("review_approved", {"review": ["rev_1"]}, "review"),
        ("said_hello", {}, "no event"),
    ],
)
def test_an_event_that_is_not_on_the_list_is_refused(
    kind: str, fields: dict[str, JsonValue], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        event(kind, "dec_1", fields)


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_an_event_on_the_list_is_taken_and_its_key_is_no_field(kind: str) -> None:
    draft = event(kind, "dec_1", {"review": "rev_1", "count": 2, "key": "0123456789", "code": None})
    assert (draft.key, draft.decision) == ("0123456789", "dec_1")
    assert draft.fields == {"review": "rev_1", "count": 2, "code": None}


def test_parquet_has_a_column_for_every_field() -> None:
    fields = {f.alias or name for sheet in SHEETS.values() for name, f in sheet.model_fields.items()}
    assert fields | EVENT_FIELDS | {"chain", "seq", "at", "kind", "decision", "hash"} == COLUMNS.keys()


def test_records_are_kept_for_half_a_year_unless_told_otherwise() -> None:
    assert AuditConfig().retention_days == 183
    assert AuditConfig().enabled
