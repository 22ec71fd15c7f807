"""Promises of the constraint-density signal."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.request import RequestView
from serve.signals.constraints import read


def view(prompt: str, instructions: str = "", structured: bool = False) -> RequestView:
    return RequestView(
        leaves=(),
        opaque=(),
        prompt=prompt,
        instructions=instructions,
        conversation=prompt,
        tool_names=(),
        structured=structured,
        needs=frozenset(),
        output_tokens=None,
    )


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        pytest.param("Answer in JSON format.", "format", id="json"),
        pytest.param("Explain rain under 50 words.", "length", id="word-limit"),
        pytest.param("Tell me a story in two paragraphs.", "length", id="paragraphs"),
        pytest.param("Give exactly three bullets.", "amount", id="bullets"),
        pytest.param("Explain rain with no commas.", "punctuation", id="commas"),
        pytest.param("Explain rain in all lowercase.", "case", id="lowercase"),
        pytest.param("Start your answer with a question.", "start", id="start"),
        pytest.param("End your answer with a question.", "end", id="end"),
        pytest.param("Include the keyword rain at least twice.", "frequency", id="frequency"),
        pytest.param("Tell it in the style of Hemingway.", "style", id="style"),
        pytest.param("Answer as a pirate would.", "persona", id="persona"),
        pytest.param("Explain rain for young children.", "audience", id="audience"),
        pytest.param("Explain rain in French.", "language", id="language"),
        pytest.param("Wrap a title like <<rain>>.", "title", id="title"),
        pytest.param("Do not mention umbrellas.", "prohibition", id="forbidden"),
        pytest.param("Erkläre den Regen in höchstens 50 Wörtern.", "length", id="german"),
        pytest.param("Explique la pluie sans virgules.", "punctuation", id="french"),
        pytest.param("Explica la lluvia, máximo 50 palabras.", "length", id="spanish"),
        pytest.param("Förklara regn med minst tre meningar.", "length", id="swedish"),
    ],
)
def test_each_kind_of_demand_is_seen(prompt: str, kind: str) -> None:
    assert kind in read(view(prompt)).kinds


@pytest.mark.parametrize(
    "prompt",
    ["What is the capital of France?", "Hello there", "2 + 2 =", "Why is the sky blue?", ""],
)
def test_a_plain_question_has_no_constraints(prompt: str) -> None:
    assert read(view(prompt)).count == 0


def test_the_same_demand_twice_is_one_demand() -> None:
    once = read(view("Use at most 50 words."))
    assert read(view("Use at most 50 words. Use at most 50 words.")).count == once.count == 1


def test_simultaneous_demands_add_up() -> None:
    prompt = "Explain rain. Answer in French. Use at most 50 words. Use no commas. End it with a question."
    assert read(view(prompt)).count == 4


def test_items_of_a_list_count_only_if_they_demand_something() -> None:
    demands = (
        "Write a poem.\n1. Use at most 50 words.\n2. Do not mention rain.\n3. Start your poem with a colour."
    )
    things = "Sort these.\n1. apples\n2. pears\n3. plums\n4. figs"
    assert read(view(demands)).count == 3
    assert read(view(things)).count == 0


@pytest.mark.parametrize(
    ("prompt", "demands"),
    [
        pytest.param(
            "Answer in JSON output, under 50 words, reference page 4 and cite two sources.", 4, id="en"
        ),
        pytest.param(
            "Return YAML; quote all strings; indent with two spaces; no comments.", 4, id="semicolons"
        ),
        pytest.param(
            "Antworte auf Englisch, in höchstens 60 Wörtern, ohne Fachwörter und nenne zwei Quellen.",
            4,
            id="de",
        ),
        pytest.param(
            "Réponds en anglais, en moins de 60 mots, sans jargon et cite deux sources.", 4, id="fr"
        ),
        pytest.param(
            "Responde en inglés, en menos de 60 palabras, sin jerga y cita dos fuentes.", 4, id="es"
        ),
        pytest.param("Svara på engelska, med högst 60 ord, utan facktermer och nämn två källor.", 4, id="sv"),
        pytest.param("Rispondi in inglese, in meno di 60 parole, senza gergo e cita due fonti.", 4, id="it"),
        pytest.param(
            "Antwoord in het Engels, in hoogstens 60 woorden, zonder vaktermen en noem twee bronnen.",
            4,
            id="nl",
        ),
    ],
)
def test_demands_run_together_in_one_sentence_count_each(prompt: str, demands: int) -> None:
    assert abs(read(view(prompt)).count - demands) <= 1


@pytest.mark.parametrize(
    "story",
    [
        "Lena sold four hens, two geese and a goat, took the bus home and slept until noon. What did she sell?",
        "On page 9 the hero leaves his village, crosses three rivers and meets an old friend. Who is he?",
    ],
)
def test_a_story_with_commas_demands_nothing(story: str) -> None:
    assert read(view(story)).count <= 1


def test_a_declared_shape_is_one_demand() -> None:
    assert read(view("Hello", structured=True)).kinds == ("structured",)


def test_instructions_count_with_the_prompt() -> None:
    assert read(view("Use at most 50 words.", instructions="Answer in French.")).count == 2


def test_code_is_material_not_demand() -> None:
    assert read(view("Why?\n```\n# must not exceed 50 words\n```")).count == 0


@pytest.mark.parametrize(
    "piece", ["must use exactly three bullets ", "a ", "1. ", "do not ", "<<", "in the "]
)
def test_hostile_repetition_is_quick(piece: str) -> None:
    started = time.perf_counter()
    read(view(piece * (1_000_000 // len(piece))))
    assert time.perf_counter() - started < 30  # what is quadratic in a million letters takes hours


@given(st.text(), st.text())
def test_any_text_gives_the_same_reading_every_time(prompt: str, instructions: str) -> None:
    assert read(view(prompt, instructions)) == read(view(prompt, instructions))
