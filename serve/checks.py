"""What a client demands of an answer beyond its shape: the header `x-pointsman-checks`.

Reads the demands and checks an answer against them. Never repeats a word of either: see docs/tools.md for the form.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Self

import re2  # type: ignore[import-untyped]
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from serve import repair
from serve.errors import InvalidRequest
from serve.signals.sensitivity.pattern import Pattern
from serve.wire.openai_answer import Choice

HEADER = "x-pointsman-checks"
MOST_CHARS = 8192
MOST_PATTERNS = 10
MOST_PATTERN_BYTES = 64 * 1024  # of one pattern, compiled: the time of a search grows with it
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d{1,6}|\*)\]")
_PATH = re.compile(r"\$|(?:\$\.?)?(?:[^.\[\]$]+|\[(?:\d{1,6}|\*)\])(?:\.[^.\[\]]+|\[(?:\d{1,6}|\*)\])*")


class Unmet(ValueError):
    """An answer does not pass; the message says which check, in words of ours alone."""


def _usable(source: str) -> str:
    _pattern(source)
    return source


def _pattern(source: str) -> Pattern:
    try:
        return Pattern(source, MOST_PATTERN_BYTES)
    except re2.error:
        raise ValueError("is no regular expression that RE2 takes, or too large a one") from None


def _readable(path: str) -> str:
    if not _PATH.fullmatch(path):
        raise ValueError(
            "is no path: write name.name[0].name, with [*] for every item, or $ for the whole value"
        )
    return path


PatternText = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_usable)]
Path = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_readable)]
Word = Annotated[str, Field(min_length=1, max_length=100)]
Listed = Annotated[str, Field(max_length=500)] | bool | int | float | None
Words = Annotated[int, Field(ge=0, le=1_000_000)]


class Rules(BaseModel):
    """What one text or value must be like. Words are what white space parts; `words` are found in any case."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    minimum: float | None = None
    maximum: float | None = None
    pattern: PatternText | None = Field(
        None, description="RE2 syntax, found anywhere: anchor it with ^ and $"
    )
    enum: Annotated[list[Listed], Field(min_length=1, max_length=500)] | None = None
    min_words: Words | None = None
    max_words: Words | None = None
    words: Annotated[list[Word], Field(min_length=1, max_length=50)] | None = None

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is over maximum")
        if self.min_words is not None and self.max_words is not None and self.min_words > self.max_words:
            raise ValueError("min_words is over max_words")
        return self

    def unmet(self, value: JsonValue) -> str | None:
        """The name of the first rule that `value` breaks, None when it keeps them all."""
        return next((name for name, kept in self._kept(value) if not kept), None)

    def _kept(self, value: JsonValue) -> Iterator[tuple[str, bool]]:
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        if self.minimum is not None:
            yield "minimum", number is not None and number >= self.minimum
        if self.maximum is not None:
            yield "maximum", number is not None and number <= self.maximum
        if self.enum is not None:
            yield "enum", any(_same(value, listed) for listed in self.enum)
        text = value if isinstance(value, str) else repair.written(value)
        if self.min_words is not None:
            yield "min_words", len(text.split()) >= self.min_words
        if self.max_words is not None:
            yield "max_words", len(text.split()) <= self.max_words
        if self.words is not None:
            yield "words", all(_has_word(text, word) for word in self.words)
        if self.pattern is not None:
            yield "pattern", _found(self.pattern, text)


class FieldRules(Rules):
    """The same for one place in a JSON value. `optional`: the place may be missing."""

    optional: bool = False


Places = Annotated[dict[Path, FieldRules], Field(min_length=1, max_length=50)]


class Checks(Rules):
    """The header. Its own rules are for the whole text; `at` is for JSON answers, `calls` for calls of a tool.

    An answer that is tool calls is checked by `calls` alone: it is not the last answer yet.
    """

    at: Places | None = None
    calls: Annotated[dict[str, Places], Field(min_length=1, max_length=50)] | None = None

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("holds no check")
        every: list[Rules] = [self, *(self.at or {}).values()]
        every += [rules for places in (self.calls or {}).values() for rules in places.values()]
        if sum(rules.pattern is not None for rules in every) > MOST_PATTERNS:
            raise ValueError(f"may hold {MOST_PATTERNS} patterns together")
        return self

    def check(self, choice: Choice) -> None:
        """Raise Unmet when the answer, which has the right shape, does not pass."""
        if calls := choice.message.tool_calls:
            for call in calls:
                if places := (self.calls or {}).get(call.function.name):
                    _check_places(repair.strict(call.function.arguments), places, "calls")
            return
        text = (choice.message.content or "").strip()
        if name := self.unmet(_as_number(text) if self._counts else text):
            raise Unmet(f"{HEADER}: {name} is not met")
        if self.at is not None:
            try:
                value = repair.strict(text)
            except repair.Unreadable:
                raise Unmet(f"{HEADER}: the answer is not JSON, and at is about JSON") from None
            _check_places(value, self.at, "at")

    @property
    def _counts(self) -> bool:
        """The whole answer has to be a number."""
        return self.minimum is not None or self.maximum is not None

    def in_words(self) -> str:
        """The demands as a model is told them."""
        return json.dumps(self.model_dump(exclude_none=True, exclude_defaults=True), ensure_ascii=False)


def read(headers: Mapping[str, str]) -> Checks | None:
    """The checks that a request's headers ask for, None without any. Raises InvalidRequest that names the field."""
    if (text := headers.get(HEADER)) is None:
        return None
    if len(text) > MOST_CHARS:
        raise InvalidRequest(f"{HEADER} may have {MOST_CHARS:,} characters", param=HEADER)
    try:
        return Checks.model_validate_json(
            text.encode("latin-1")
        )  # as it came: HTTP's own reading of a header
    except UnicodeEncodeError:
        raise InvalidRequest(f"{HEADER} must be UTF-8, or ASCII with \\u escapes", param=HEADER) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join([HEADER, *(str(part) for part in first["loc"] if part != "[key]")])
        words = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"{where}: {words}", param=where) from None


def _check_places(value: JsonValue, places: Mapping[str, FieldRules], field: str) -> None:
    # The n-th place, not its path: names of fields are the client's data.
    for number, (path, rules) in enumerate(places.items(), start=1):
        found = list(_values(value, _steps(path)))
        for one in found:
            if isinstance(one, _Missing):
                if not rules.optional:
                    raise Unmet(f"{HEADER}: place {number} of {field} is missing")
            elif name := rules.unmet(one):
                raise Unmet(f"{HEADER}: {name} is not met at place {number} of {field}")


def _steps(path: str) -> list[tuple[str | None, str | None]]:
    """Names and indices in order: one of the two is None."""
    return [(match[1], match[2]) for match in _STEP.finditer(path.removeprefix("$"))]


class _Missing:
    """There is no value at a place."""


def _values(value: JsonValue, steps: list[tuple[str | None, str | None]]) -> Iterator[JsonValue | _Missing]:
    if not steps:
        yield value
        return
    (name, index), rest = steps[0], steps[1:]
    if name is not None and isinstance(value, dict) and name in value:
        yield from _values(value[name], rest)
    elif index == "*" and isinstance(value, list):
        for item in value:
            yield from _values(item, rest)
    elif index and index != "*" and isinstance(value, list) and int(index) < len(value):
        yield from _values(value[int(index)], rest)
    else:
        yield _Missing()


def _same(value: JsonValue, listed: JsonValue) -> bool:
    """Equal as JSON: true is not 1, and 1 is 1.0."""
    return isinstance(value, bool) == isinstance(listed, bool) and value == listed


def _as_number(text: str) -> JsonValue:
    try:
        value = repair.strict(text)
    except repair.Unreadable:
        return text
    return value if isinstance(value, int | float) else text


def _has_word(text: str, word: str) -> bool:
    """Whether `word` stands in `text`, in any case and not as a part of a longer word."""
    text, word = text.casefold(), word.casefold()
    at = text.find(word)
    while at >= 0:
        before, behind = text[at - 1 : at], text[at + len(word) : at + len(word) + 1]
        if not before.isalnum() and not behind.isalnum():
            return True
        at = text.find(word, at + 1)
    return False


def _found(pattern: str, text: str) -> bool:
    try:
        return _pattern(pattern).found(text)
    except UnicodeEncodeError:  # lone surrogates are no text
        return False
