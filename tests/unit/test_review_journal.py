"""What becomes of a review is written into the audit log in words that the log takes."""

from collections.abc import Mapping

from pydantic import JsonValue

from serve.audit import records
from serve.audit.port import NoAudit
from serve.reviews.journal import AuditJournal

FIELDS: dict[str, JsonValue] = {
    "review": "rev_1",
    "key": "key_asker",
    "class": "confidential",
    "lane": "local-general",
    "rule": "a rule: with blanks",
    "reviewer": None,
}


class Taking(NoAudit):
    """Takes what the real log takes."""

    def __init__(self) -> None:
        self.drafts: list[records.Draft] = []

    def note(self, kind: str, decision_id: str, fields: Mapping[str, JsonValue]) -> None:
        self.drafts.append(records.event(kind, decision_id, fields))


def test_the_key_of_a_record_is_the_one_who_acted() -> None:
    audit = Taking()
    journal = AuditJournal(audit)
    journal.note("review_held", "dec_1", FIELDS)
    journal.note("review_approved", "dec_1", FIELDS | {"reviewer": "key_reviewer"})
    held, approved = audit.drafts
    assert (held.kind, held.key, approved.kind, approved.key) == (
        "review_held",
        "key_asker",
        "review_approved",
        "key_reviewer",
    )
    assert held.fields == {
        "review": "rev_1",
        "class": "confidential",
        "lane": "local-general",
        "rule": "other",
    }
