"""Does a call of the right shape stand on what was said? Signs that it does not: no model, no meaning, no names.

A sign is a reason to ask somebody else, not a proof: values may be known, or worked out. Judges no shape.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from pydantic import JsonValue

from serve.wire.openai_answer import ChatCompletion
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_messages import Message, ToolCall

MOST_CHARS = 100_000
"""Of conversation and tools together; longer ones are not judged."""
MOST_WORDS = 6
"""Of a text that is looked up in the conversation: a longer one is written, not picked out."""
STEM = 4
"""Letters at the beginning that make two words the same."""

_WORD = re.compile(r"[^\W_]+")
_GROUPED = r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?"
_PLAIN = r"\d{1,300}(?:\.\d+)?|\.\d+"
# A number of its own: not a part of a word, a unit (`m/s^2`) or a version.
_FREE = re.compile(rf"(?<![\w.^/])(?:{_GROUPED}|{_PLAIN})(?![\w^]|[.,:/]\d|-[A-Za-z])")
_COUNTS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
_SPELT = {word: float(number) for number, word in enumerate(_COUNTS.split())} | {
    "thirty": 30.0, "forty": 40.0, "fifty": 50.0, "hundred": 100.0, "thousand": 1e3, "million": 1e6, "billion": 1e9,
    "dozen": 12.0, "half": 0.5, "quarter": 0.25, "once": 1.0, "twice": 2.0, "couple": 2.0, "pair": 2.0,
    "double": 2.0, "triple": 3.0, "monthly": 12.0, "quarterly": 4.0, "first": 1.0, "second": 2.0, "third": 3.0,
}  # fmt: skip
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_SCALES = (0.01, 100, 0.001, 1e3, 1e-6, 1e6, 1e9, 12, 60, 3600)
_TRIFLES = frozenset((0.0, 1.0))
_FILLERS = frozenset(
    ("the", "a", "an", "of", "and", "or", "in", "on", "at", "to", "for", "from", "by", "with", "is", "are", "be", "my",
     "your", "his", "her", "its", "all")
)  # fmt: skip

Call = tuple[str, dict[str, JsonValue]]
Leaf = str | int | float


def doubt(request: ChatRequest, answer: ChatCompletion) -> str:
    """Why the calls of `answer` may be wrong though they fit their schemas, quoting nothing; empty where nothing tells.

    Empty as well for answers without calls and for conversations over MOST_CHARS.
    """
    calls = [call for choice in answer.choices for call in _read(choice.message.tool_calls or ())]
    said = " ".join(chain.from_iterable(map(_texts, request.messages)))
    offered = " ".join(tool.function.model_dump_json(exclude_none=True) for tool in request.tools or ())
    if not calls or len(said) + len(offered) > MOST_CHARS:
        return ""
    if len({json.dumps(call, sort_keys=True) for call in calls}) < len(calls):
        return "the same call came twice"
    values = [value for _, arguments in calls for value in _leaves(arguments)]
    if any(isinstance(value, str) and not value.strip() for value in values):
        return "an argument of a call is empty"
    if _invents(values, said, offered):
        return "a call has an argument that stands nowhere in the conversation"
    return _left_out(request, calls, values) if request.messages[-1].role == "user" else ""


def _left_out(request: ChatRequest, calls: Sequence[Call], values: Sequence[Leaf]) -> str:
    """What the last message asks for and no call takes up."""
    asked = " ".join(_texts(request.messages[-1]))
    squeezed, called = f" {' '.join(_words(asked))} ", {name for name, _ in calls}
    for tool in request.tools or ():
        words = _words(tool.function.name)
        if len(words) > 1 and tool.function.name not in called and f" {' '.join(words)} " in squeezed:
            return "the request names a tool that was not called"
    taken = " ".join(map(str, values))
    known, digits = _numbers(taken) | _TRIFLES, set(re.findall(r"\d+", taken))
    later = 12 if _after_noon(squeezed) else 0
    for found in _FREE.findall(asked):
        # `1,000` may be one number, or two of a list.
        parts = {float(part) for part in found.split(",") if part}
        number = _number(found)
        if not {number, number + later} & known and not parts <= known and found not in digits:
            return "a number of the request is in no call"
    return ""


def _invents(values: Iterable[Leaf], said: str, offered: str) -> bool:
    known = _Known(said, offered)
    return any(known.lacks(value) for value in values)


class _Known:
    """What a conversation and the tools that are offered hold, for looking up values."""

    def __init__(self, said: str, offered: str) -> None:
        words = _words(f"{said} {offered}")
        self._words = {word[:STEM] for word in words}
        self._flat = "".join(_words(said))
        self._numbers = _numbers(said) | _plain(offered) | _TRIFLES
        self._numbers |= {float(_MONTHS.index(word[:3]) + 1) for word in words if word[:3] in _MONTHS}
        if _after_noon(f" {' '.join(words)} "):
            self._numbers |= {number + 12 for number in self._numbers if number < 12}

    def lacks(self, value: Leaf) -> bool:
        """Whether a part of the value comes from nowhere."""
        if not isinstance(value, str):
            # A whole number may be too big for a float, and then equals none of them.
            return abs(value) not in self._numbers
        words = [word for word in _words(value) if word not in _FILLERS]
        return len(words) <= MOST_WORDS and any(map(self._lacks_word, words))

    def _lacks_word(self, word: str) -> bool:
        if word.isdecimal():
            return float(word) not in self._numbers and word not in self._flat
        # Short ones are units and codes: `km`, `USD`, `CA`.
        return len(word) >= STEM and word[:STEM] not in self._words and word not in self._flat


def _read(calls: Iterable[ToolCall]) -> Iterator[Call]:
    for call in calls:
        arguments = json.loads(call.function.arguments)
        yield call.function.name, arguments


def _leaves(value: JsonValue) -> Iterator[Leaf]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif value is not None and not isinstance(value, bool):
        yield value


def _texts(message: Message) -> Iterator[str]:
    """The texts of a message and the arguments of its calls."""
    content = message.content
    if isinstance(content, str):
        yield content
    elif content:
        yield from (part.text for part in content if part.type == "text")
    for call in getattr(message, "tool_calls", None) or ():
        yield call.function.arguments


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _numbers(text: str) -> set[float]:
    """The numbers in `text`, spelt ones too, and the same as a percentage or in another unit."""
    plain = _plain(text) | {_SPELT[word] for word in _words(text) if word in _SPELT}
    return plain | {round(number * scale, 9) for number in plain for scale in _SCALES}


def _after_noon(words: str) -> bool:
    """`5 pm` and `5pm` are 17 o'clock as well."""
    return re.search(r"[ \d]pm ", words) is not None


def _plain(text: str) -> set[float]:
    """As they stand there: `1,000` may be one number, or two of a list."""
    return {_number(found) for kind in (_GROUPED, _PLAIN) for found in re.findall(kind, text)}


def _number(text: str) -> float:
    return float(text.replace(",", ""))
