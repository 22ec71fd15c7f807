"""An organisation's own words and classes: they raise what is found and never lower it."""

import pytest
from pydantic import ValidationError

from serve.config import SensitivityConfig
from serve.request import Leaf, RequestView
from serve.signals.readings import Sensitivity
from serve.signals.sensitivity import Own, read

OWN = SensitivityConfig(
    dictionary={"confidential": ("Project Bluebird", "C++core"), "internal": ("Kontoret",)},
    levels={"full_name": "confidential"},
).own


def view(*texts: str) -> RequestView:
    return RequestView(
        leaves=tuple(Leaf(f"messages[{n}].content", text) for n, text in enumerate(texts)),
        opaque=(),
        prompt=texts[-1],
        instructions="",
        conversation="\n".join(texts),
        tool_names=(),
        structured=False,
        needs=frozenset(),
        output_tokens=None,
    )


@pytest.mark.parametrize(
    ("text", "rule", "level"),
    [
        ("when is project bluebird due", "dictionary_confidential", Sensitivity.CONFIDENTIAL),
        ("Project\u00a0Blue\u200bbird", "dictionary_confidential", Sensitivity.CONFIDENTIAL),
        ("does c++core build", "dictionary_confidential", Sensitivity.CONFIDENTIAL),
        ("lunch at kontoret?", "dictionary_internal", Sensitivity.INTERNAL),
        ("ask Martin Lindqvist about it", "full_name", Sensitivity.CONFIDENTIAL),
    ],
)
def test_own_words_and_classes_count(text: str, rule: str, level: Sensitivity) -> None:
    reading = read(view(text), OWN)
    assert (reading.level, rule in {found.rule for found in reading.findings}) == (level, True)


def test_a_word_split_between_messages_is_found() -> None:
    assert read(view("about Project Blue", "bird"), OWN).level is Sensitivity.CONFIDENTIAL


def test_a_part_of_a_word_is_no_word() -> None:
    assert read(view("the projects bluebirds; kontorets"), OWN).level is Sensitivity.PUBLIC


def test_nothing_own_can_lower_a_class() -> None:
    lower = Own(levels={"payment_card": Sensitivity.PUBLIC})
    assert read(view("my card is 4242 4242 4242 4242"), lower).level is Sensitivity.CONFIDENTIAL


@pytest.mark.parametrize(
    "wrong",
    [
        {"levels": {"payment_card": "internal"}},
        {"levels": {"no_such_rule": "confidential"}},
        {"dictionary": {"internal": [" "]}},
        {"dictionary": {"public": ["x"]}},
    ],
)
def test_a_table_that_would_lower_or_match_everything_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SensitivityConfig.model_validate(wrong)
