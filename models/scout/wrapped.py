"""Training prompts written for this project: a short order about a text that could be anything.

They exist because in the open sets hardly any order to label, extract or rewrite comes with a text, so that the text
alone decided what was asked for. The texts are prompts of the other sets and small messages; what is in them tells
nothing about the order. Rows of one template form a group that no split may separate.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

from models.scout.row import Row
from serve.signals.readings import TaskType

TEMPLATES = Path(__file__).with_name("wrapped.txt")
FAMILY = "wrapped"
ROWS_PER_TEMPLATE = 12
ROWS_PER_SAME = 40
"""Of orders that change nothing about what the text asks for (`[same]`)."""
ANY_WORD = 0.6
"""Share of labels and fields that are words of some text: else the words of the labels give the order away."""
SHORTEST_TEXT, LONGEST_TEXT = 20, 1_200
MESSAGES = 0.4
"""Share of the texts that are small messages."""

LABELS = (
    "positive, negative|question, request, complaint|billing, delivery, returns|sports, politics, science",
    "urgent, not urgent|bug, feature, question|legal, finance, people|fact, opinion",
    "news, advertisement, personal letter|food, travel, health|biology, history, law|fiction, non-fiction",
    "hardware, software, network|happy, sad, angry, calm|sales, support, spam|music, film, books",
    "public, internal, secret|chemistry, economics, philosophy|red, amber, green|A, B, C",
    "maths, language, geography|yes, no, unclear|invoice, contract, receipt|Europe, Asia, Africa",
    "animal, plant, mineral",
)
FIELDS = (
    "date|name|surname|company|city|country|street|postcode|telephone number|e-mail address|amount",
    "currency|order number|invoice number|account number|product|price|quantity|deadline|title|author",
    "year|age|job title|department|unit|web address|file name|error code|version|place|time|person",
    "organisation|number|IBAN|card number|signature|subject",
)
MESSAGE = (
    "Hello {name}, the {noun} that I ordered on {n} {month} has not come. My number is 0{n} {n}{n}{n}.",
    "{name} {sur} moved to {n} {sur} Street in {city} in {month}.",
    "Please pay {n}{n}.50 to {sur} & Sons by {n} {month}, reference {n}-{n}{n}.",
    "The {noun} is broken again! I want my money back. {name} {sur}, {city}",
    "Thanks a lot, the {noun} works better than I hoped.",
    "Meeting with {name} at {n}:{n} about the {noun} budget, then train to {city}.",
    "ERROR {n}{n}: cannot open /var/{noun}/{n}.log on host {noun}{n}",
    "Our office in {city} is looking for a {noun} engineer with {n} years of practice. Write to {name}@{sur}.example.",
    "I was born in {city} in 19{n} and have worked for {sur} Ltd since {month}.",
    "{sur} Group reported sales of {n} million for {month}, up {n} percent.",
    "Can someone tell {name} that the {noun} in {city} closes at {n}?",
    "Order {n}{n}{n}: {n} x {noun}, {n} x {noun}. Ship to {name} {sur}, {city}.",
)
_SLOT = re.compile(r"\{(labels|label|field|language|n|name|sur|city|noun|month)\}")
_WORD = re.compile(r"[^\W\d_]{4,14}")
NAMES = {
    "name": "Tom,Aisha,Marta,Jun,Olu,Priya,Sven,Ivan,Chloe,Diego,"
    "Fatima,Grace,Hana,Karl,Lena,Mohammed,Nora,Pablo,Rosa,Wei",
    "sur": "Meyer,Okafor,Tanaka,Silva,Novak,Larsen,Khan,Rossi,Dubois,"
    "Kowalski,Haddad,Brown,Singh,Costa,Weber,Lind,Moreau,Pereira",
    "city": "Lyon,Porto,Leeds,Graz,Osaka,Lagos,Turin,Malmo,Quito,"
    "Denver,Cork,Basel,Krakow,Hanoi,Perth,Izmir,Ghent,Tartu",
    "noun": "lamp,kettle,router,bicycle,printer,chair,phone,window,"
    "garden,engine,camera,boat,piano,tablet,heater,mirror,carpet",
    "month": "January,February,March,April,May,June,July,August,September,October,November,December",
    "language": "French,German,Italian,Dutch,Polish,Japanese,Turkish,Swedish,Spanish,Korean,Czech,Hindi",
}


def rows(
    seed: int, carriers: Mapping[str, Sequence[Row]], split_of: Callable[[Row, int], str]
) -> Iterator[Row]:
    """The same for the same seed. `carriers`: by split the rows whose texts and words may be used there."""
    source = random.Random(seed)  # noqa: S311 - meant to repeat
    for task, template in _templates():
        key = f"wrapped:{template}"
        usable = carriers[split_of(Row(FAMILY, "", key, None, None), seed)]
        for _ in range(ROWS_PER_SAME if task is None else ROWS_PER_TEMPLATE):
            inner = source.choice(usable)
            words = _WORD.findall(source.choice(usable).text)
            order = _filled(template, source, words)
            own = task is None or source.random() >= MESSAGES
            text = inner.text if own else _filled(source.choice(MESSAGE), source, ())
            yield Row(FAMILY, order.replace("{text}", text), key, None, task or inner.task)


def _templates() -> Iterator[tuple[TaskType | None, str]]:
    """The lines of the template file under their `[task]` headings; None: the text says what is asked for."""
    task: TaskType | None = None
    for line in TEMPLATES.read_text("utf-8").splitlines():
        if found := re.fullmatch(r"\[([a-z_]+)\]", line):
            task = next((name for name in get_args(TaskType) if name == found[1]), None)
        elif line:
            yield task, line.replace("\\n", "\n")


def _filled(template: str, source: random.Random, words: Sequence[str]) -> str:
    return _SLOT.sub(lambda found: _word(found[1], source, words), template)


def _word(slot: str, source: random.Random, words: Sequence[str]) -> str:
    if slot == "n":
        return str(source.randint(1, 99))
    if slot in NAMES:
        return source.choice(NAMES[slot].split(","))
    if words and source.random() < ANY_WORD:
        some = [source.choice(words) for _ in range(source.randint(2, 5) if slot == "labels" else 1)]
        return source.choice((", ", " / ", "; ")).join(some)
    chosen = source.choice("|".join(FIELDS if slot == "field" else LABELS).split("|"))
    return chosen.split(", ")[0] if slot == "label" else chosen
