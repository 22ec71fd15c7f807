"""Questions with short answers that are right or wrong beyond dispute: classification and extraction.

Made from sets that carry the truth: the subject of a question and the letter of its answer (`mmlu_pro`), one thing in a
text (`pii_presidio`). Asks nobody.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.quality import live
from bench.quality.cases import DataUnreadable
from bench.quality.labelled import rows

Kind = Literal["classification", "extraction"]
MOST_TOKENS = 32
NOT_THERE = "none"
_NOUNS = {
    "PERSON": "name of the person",
    "ORGANIZATION": "name of the organisation",
    "GPE": "place",
    "STREET_ADDRESS": "street address",
    "PHONE_NUMBER": "telephone number",
    "EMAIL_ADDRESS": "e-mail address",
    "CREDIT_CARD": "card number",
    "DATE_TIME": "date or time",
    "IBAN_CODE": "IBAN",
    "DOMAIN_NAME": "domain name",
    "AGE": "age",
}
_EDGES = re.compile(r"^[\s\"'`*.,:;()\[\]<>]+|[\s\"'`*.,:;()\[\]<>]+$")
_LETTER = re.compile(r"\(?([A-J])\b")


@dataclass(frozen=True, slots=True)
class Short:
    """One question. `scores`: which other models are recorded to have got it right (1) or wrong (0)."""

    id: str
    set: str
    kind: Kind
    prompt: str
    gold: str
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def calibrates(self) -> bool:
        """Half of all questions choose a threshold or a preamble, the others say what it is worth."""
        return live.drawn(f"half of {self.id}")[0] % 2 == 0

    def body(self) -> dict[str, Any]:
        """The request of a client that sets no sampling."""
        return {"messages": [{"role": "user", "content": self.prompt}], "max_tokens": MOST_TOKENS}

    def right(self, said: str) -> bool:
        """The answer is the gold answer and nothing else, but for case and marks around it."""
        if self.set == "choice":
            found = _LETTER.match(_EDGES.sub("", said))
            return found is not None and found[1] == self.gold
        return _plain(said) == _plain(self.gold)


def read(data: Path, sample: int) -> list[Short]:
    """`sample` questions, evenly over the sets. Raises DataUnreadable."""
    asked = rows(data / "mmlu_pro" / "mmlu_pro.jsonl.gz")
    texts = rows(data / "pii_presidio" / "synth_dataset_v2.jsonl.gz", "text")
    subjects = sorted({str(row["category"]) for row in asked} - {"other"})
    made = {
        "choice": [_choice(row) for row in asked],
        "subject": [_subject(row, subjects) for row in asked if row["category"] != "other"],
        "field": [one for row in texts if (one := _field(row)) is not None],
    }
    taken = live.spread({name: len(some) for name, some in made.items()}, sample)
    chosen = {name: sorted(some, key=lambda one: live.drawn(one.id)) for name, some in made.items()}
    found = [one for name, some in chosen.items() for one in some[: taken[name]]]
    if not found:
        raise DataUnreadable(f"{data} holds neither mmlu_pro nor pii_presidio.")
    return found


def _choice(row: Mapping[str, Any]) -> Short:
    prompt = f"{row['prompt']}\n\nAnswer with the letter of the right choice alone."
    return Short(f"choice/{row['id']}", "choice", "classification", prompt, str(row["answer"]), row["scores"])


def _subject(row: Mapping[str, Any], subjects: Sequence[str]) -> Short:
    """Four subjects to choose from, the right one among them."""
    gold, name = str(row["category"]), f"subject/{row['id']}"
    others = sorted((one for one in subjects if one != gold), key=lambda one: live.drawn(name + one))[:3]
    labels = ", ".join(sorted([gold, *others]))
    text = str(row["prompt"]).partition("\nA. ")[0]
    prompt = f"Classify the text as one of: {labels}. Answer with the label alone.\n\nText: {text}"
    return Short(name, "subject", "classification", prompt, gold)


def _field(row: Mapping[str, Any]) -> Short | None:
    """One thing that stands in the text once, or, every fifth time, one that does not stand there."""
    name, spans = f"field/{row['id']}", row["spans"]
    kinds = [str(span["type"]) for span in spans]
    absent = live.drawn(name)[1] % 5 == 0
    fit = [kind for kind in _NOUNS if (kind not in kinds if absent else kinds.count(kind) == 1)]
    if not fit:
        return None
    kind = min(fit, key=lambda one: live.drawn(name + one))
    gold = NOT_THERE if absent else next(str(span["value"]) for span in spans if span["type"] == kind)
    prompt = (
        f"Extract the {_NOUNS[kind]} from the text. Answer with it alone, word for word, or with {NOT_THERE} "
        f"if the text has none.\n\nText: {row['text']}"
    )
    return Short(name, "field", "extraction", prompt, gold)


def _plain(text: str) -> str:
    return " ".join(_EDGES.sub("", text).casefold().split())
