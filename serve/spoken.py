"""Tool calls that a model wrote into its text: JSON, Python syntax, and the tags of the common chat templates.

Finds calls of offered tools and reads them as they were written. Mends no types, evaluates nothing.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from pydantic import JsonValue

from serve import repair
from serve.literal import Bare, Reader, Unreadable, assigned
from serve.wire.openai_chat import FunctionSpec
from serve.wire.openai_messages import FunctionCall, ToolCall

# Longer than the calls of one answer; what is longer is read as JSON or not at all.
MOST_READ = 20_000
MOST_CALLS = 128
_OPENERS = re.compile(r"[({\[]")
_LAST_NAME = re.compile(r"[A-Za-z_][\w.\-/]*\Z")
_BACK = 140
# What stands between a name and its arguments, or between two calls, in the templates of models.
_MARKUP = re.compile(
    r"<(?!function=)[^<>\n]{1,80}>|\[/?[A-Z_]{2,20}\]|```\w{0,16}|\bto=functions\.|\b(?:commentary|json|python|tool_code|and)\b"
    r"|\bfunctions?\b|\bassistant\b|#[^\n]{0,300}|:\d{1,4}\b"
)
_FIRST_CALL = re.compile(r"\s{0,20}(?:```\w{0,16}\s{0,20})?\[\s{0,20}['\"]?[A-Za-z_][\w.\\]{0,127}\(")
_NEXT_CALL = re.compile(r"['\"]?\s{0,20}[,;]\s{0,20}['\"]?[A-Za-z_][\w.\\]{0,127}\(")
_NAME_KEYS = ("name", "function", "tool", "tool_name", "function_name", "action", "$type", "$kind")
_ARGUMENT_KEYS = (
    "arguments", "parameters", "params", "args", "kwargs", "input", "tool_input", "action_input", "tool_arguments",
)  # fmt: skip
_LIST_KEYS = ("tool_calls", "tool_call", "function_call", "function_calls", "calls", "tools", "functions")
_PARAMETER = (("<parameter", "</parameter>"), ("<arg_key>", "</arg_value>"))
_HEADS = re.compile(
    r"<function=([^<>\n]{1,160})>|<invoke name=\"([^<>\n\"]{1,160})\">|<tool_call>\s{0,8}([\w.\-]{1,128})"
)
_ENDS = ("</function>", "</invoke>", "</tool_call>")

Specs = Mapping[str, FunctionSpec]


class Offered:
    """The tools of a request, and what other names for them mean."""

    def __init__(self, specs: Specs) -> None:
        self.specs = specs
        self._meant: dict[str, set[str]] = {}
        for name in specs:
            for form in _forms(name):
                self._meant.setdefault(form, set()).add(name)

    def known(self, name: str) -> str | None:
        """The tool that `name` means: itself, the only one that differs by case and punctuation alone,

        or the only one that has the same last part.
        """
        if name in self.specs:
            return name
        for form in _forms(name):
            if len(meant := self._meant.get(form, set())) == 1:
                return next(iter(meant))
        return None

    def names(self, name: str) -> list[str]:
        """The arguments that a tool lists, in order."""
        properties = (self.specs[name].parameters or {}).get("properties")
        return list(properties) if isinstance(properties, dict) else []

    def demands(self, name: str) -> bool:
        """The tool cannot be called without arguments."""
        return bool((self.specs[name].parameters or {}).get("required"))


def _forms(name: str) -> tuple[str, str]:
    return "".join(c for c in name if c.isalnum()).lower(), "." + re.split(r"[./:]", name)[-1].lower()


@dataclass(frozen=True, slots=True)
class Spoken:
    """One call and where in the text it stands. `plain`: in the JSON of tool calls, which is never prose."""

    name: str
    arguments: dict[str, JsonValue]
    start: int
    end: int
    plain: bool


def calls_in_text(text: str, specs: Specs, *, demanded: bool = False) -> list[ToolCall]:
    """Tool calls that a model wrote as text; empty when it wrote anything else.

    A call counts only if it is of an offered tool. Where no call was demanded, syntax in the middle of prose
    stays prose: an answer may explain how something is called.
    """
    if len(text) > repair.MOST_CHARS:
        return []
    offered = Offered(specs)
    found = _whole(text, offered)
    if found is None:
        found = (
            _tagged_arguments(text, offered) or _scanned(text, offered, demanded) or _mended(text, offered)
        )
    return [_tool_call(name, arguments) for name, arguments in found]


Pairs = list[tuple[str, dict[str, JsonValue]]]


def _tool_call(name: str, arguments: dict[str, JsonValue]) -> ToolCall:
    function = FunctionCall(name=name, arguments=repair.written(arguments))
    return ToolCall(id=f"call_{uuid.uuid4().hex[:24]}", function=function)


def _whole(text: str, offered: Offered) -> Pairs | None:
    """The calls of a text that is JSON from end to end; None when it is not."""
    try:
        value = repair.strict(text.strip())
    except repair.Unreadable:
        return None
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return None  # a list of calls, each of them a string
    return pairs_of(value, offered) if isinstance(value, dict | list) else None


def _mended(text: str, offered: Offered) -> Pairs:
    """Where the reader gave up: the likeliest places, as JSON with whatever it takes to close it."""
    for value in repair.values_in(text):
        if found := pairs_of(value, offered):
            return found
    return []


def _scanned(text: str, offered: Offered, demanded: bool) -> Pairs:
    text = text.replace("\\_", "_")  # Markdown; no JSON and no code has it
    for version in dict.fromkeys((text, _unescaped(text))):
        if len(version) <= MOST_READ and (
            found := _chosen(version, list(_spoken(version, offered)), demanded)
        ):
            return found
    return []


def _unescaped(text: str) -> str:
    """Without the escapes of a text that was quoted, or written as Markdown."""
    return text.replace('\\"', '"').replace("\\'", "'").replace("\\[", "[").replace("\\]", "]")


def _chosen(text: str, calls: list[Spoken], demanded: bool) -> Pairs:
    """The calls that are meant: the first that stand together, or, after prose, all of them, each once."""
    if not calls:
        return []
    begins = _is_markup(text[: calls[0].start])
    if not begins and not demanded:
        calls = [call for call in calls if call.plain]
    elif begins:
        calls = list(_together(text, calls))
        if _NEXT_CALL.match(text, calls[-1].end):
            return []  # one of them cannot be read: to do only the others is not what was meant
    elif _FIRST_CALL.match(text):
        return []
    else:
        fenced = [call for call in calls if text.count("```", 0, call.start) % 2]
        calls = fenced or calls
    found: Pairs = []
    for call in calls:
        if begins or (call.name, call.arguments) not in found:
            found.append((call.name, call.arguments))
    return found


def _together(text: str, calls: list[Spoken]) -> Iterator[Spoken]:
    before = None
    for call in calls:
        labelled = call.plain and text[before.end if before else 0 : call.start].rstrip().endswith(">")
        gap = text[before.end : call.start] if before else ""
        if not labelled and (gap.count("```") % 2 or not _is_markup(gap)):
            return
        yield call
        before = call


def _is_markup(text: str) -> bool:
    """Nothing is said in `text`: brackets, tags, labels, names of namespaces."""
    rest = _MARKUP.sub(" ", text)
    return not any(
        character.isalnum()
        for character in re.sub(r"\b[\w.]{1,60}[.(]\s{0,4}\Z", "", rest[-2000:]) + rest[:-2000]
    )


def _spoken(text: str, offered: Offered) -> Iterator[Spoken]:
    """Every call that can be read, in order. Each character is read a bounded number of times."""
    at, budget, count = 0, 2 * len(text) + 2_000, 0
    variables = assigned(text) if "=" in text else {}
    while budget > 0 and count < MOST_CALLS and (opener := _OPENERS.search(text, at)) is not None:
        at = opener.end()
        reader = Reader(text, opener.start())
        try:
            found = _read(reader, opener.start(), offered, variables)
        except Unreadable:
            found = []
        budget -= max(0, reader.at - opener.start())
        for call in found:
            yield call
            count += 1
        if found:
            at = max(at, reader.at)


def _read(reader: Reader, opener: int, offered: Offered, variables: Mapping[str, JsonValue]) -> list[Spoken]:
    """The calls that an opening bracket begins. Raises Unreadable."""
    text = reader.text
    if text[opener] == "(":
        name, start = _name_before(text, opener, offered, code=True)
        if name is None:
            return []
        reader.at = opener + 1
        unnamed, named = reader.arguments()
        unnamed = [_meant(item, variables) for item in unnamed]
        named = {key: _meant(item, variables) for key, item in named.items()}
        each = _each(unnamed, named, name, offered)
        return [Spoken(name, arguments, start, reader.at, False) for arguments in each]
    value = reader.value()
    if pairs := pairs_of(value, offered):
        plain = text[opener] == "{" or text[opener + 1 : opener + 40].lstrip().startswith("{")
        return [Spoken(name, arguments, opener, reader.at, plain) for name, arguments in pairs]
    if text[opener] == "{" and isinstance(value, dict):
        name, start = _name_before(text, opener, offered, code=False)
        if name is not None:
            return [Spoken(name, value, start, reader.at, False)]
    return []


def _meant(item: JsonValue, variables: Mapping[str, JsonValue]) -> JsonValue:
    """The value that a name without quotes was given before."""
    return variables.get(item, item) if isinstance(item, Bare) else item


def _name_before(text: str, at: int, offered: Offered, *, code: bool) -> tuple[str | None, int]:
    """The offered tool whose name ends before `at`, but for the markup of templates, and where it starts."""
    back = text[max(0, at - _BACK) : at].rstrip()
    if not code:  # the places stay the same
        back = _MARKUP.sub(lambda found: " " * len(found[0]), back)
    back = back.rstrip("'\"])" if code else " \n\t:>\"'`|")
    found = _LAST_NAME.search(back)
    if found is None:
        return None, at
    return offered.known(found[0]), max(0, at - _BACK) + found.start()


def _each(
    unnamed: list[JsonValue], named: dict[str, JsonValue], name: str, offered: Offered
) -> list[dict[str, JsonValue]]:
    """The arguments of the call, or of each of several that were put into one. Raises Unreadable.

    An object is all of them; values without names belong to the schema's, in order.
    """
    names = offered.names(name)
    whole = [item for item in unnamed if isinstance(item, dict) and _lists(item, names)]
    if whole and len(whole) == len(unnamed) and not named:
        return whole
    if len(unnamed) > len(names) or any(isinstance(item, Bare) for item in unnamed):
        raise Unreadable
    given = dict(zip(names, unnamed, strict=False))
    if set(given) & set(named) or not (given or named or not offered.demands(name)):
        raise Unreadable
    return [given | named]


def _lists(value: dict[str, JsonValue], names: list[str]) -> bool:
    return bool(value) and (not names or set(value) <= set(names))


def pairs_of(value: JsonValue, offered: Offered) -> Pairs:
    """The calls that a JSON value is, all of it; empty when any part of it is something else."""
    if isinstance(value, dict):
        for key in _LIST_KEYS:
            inner = value.get(key)
            if len(value) == 1 and isinstance(inner, dict | list) and (found := pairs_of(inner, offered)):
                return found
        one = _pair(value, offered)
        return [one] if one else _keyed(value, offered)
    if not isinstance(value, list) or not 0 < len(value) <= MOST_CALLS:
        return []
    if len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
        name = offered.known(value[0])
        return [(name, value[1])] if name else []
    parts = [pairs_of(item, offered) if isinstance(item, dict | list) else [] for item in value]
    return [pair for part in parts for pair in part] if all(parts) else []


def _keyed(value: dict[str, JsonValue], offered: Offered) -> Pairs:
    """{tool: arguments}"""
    found: Pairs = []
    for key, arguments in value.items():
        name = offered.known(key)
        if name is None or not isinstance(arguments, dict):
            return []
        found.append((name, arguments))
    return found


def _pair(item: dict[str, JsonValue], offered: Offered) -> tuple[str, dict[str, JsonValue]] | None:
    """{"name": tool, "arguments": {...}} in the words of any vendor, or with the arguments beside the name."""
    if isinstance(inner := item.get("function"), dict):
        item = inner
    key = next((key for key in _NAME_KEYS if isinstance(item.get(key), str)), None)
    name = offered.known(str(item[key])) if key else None
    if name is None:
        return None
    arguments = next((item[k] for k in _ARGUMENT_KEYS if k in item), None)
    if isinstance(arguments, str):
        try:
            arguments = repair.parsed(arguments)
        except repair.Unreadable:
            return None
    if arguments is None:
        arguments = _beside(item, str(key), name, offered)
    return (name, arguments) if isinstance(arguments, dict) else None


def _beside(item: dict[str, JsonValue], key: str, name: str, offered: Offered) -> JsonValue:
    rest = {k: v for k, v in item.items() if k != key}
    return rest if rest and set(rest) <= set(offered.names(name)) else None


def _tagged_arguments(text: str, offered: Offered) -> Pairs:
    """Calls whose every argument has its own tags: <function=f><parameter=a>1</parameter></function>."""
    if len(text) > MOST_READ or not any(opening in text for opening, _ in _PARAMETER):
        return []
    found: Pairs = []
    heads = list(_HEADS.finditer(text))
    for head, following in zip_longest(heads, heads[1:]):
        name = offered.known(next(part for part in head.groups() if part))
        body = text[head.end() : following.start() if following else len(text)]
        body = body[: min((at for end in _ENDS if (at := body.find(end)) >= 0), default=len(body))]
        if name is None:
            return []
        if arguments := _parameters(body):
            found.append((name, arguments))
    return found


def _parameters(body: str) -> dict[str, JsonValue]:
    made: dict[str, JsonValue] = {}
    for part in body.split("<parameter")[1:]:
        head, _, rest = part.partition(">")
        made[head.strip(" =\"'").removeprefix("name=").strip("\"'")] = rest.partition("</parameter>")[
            0
        ].strip("\n")
    for part in body.split("<arg_key>")[1:]:
        key, _, rest = part.partition("</arg_key>")
        made[key.strip()] = rest.partition("<arg_value>")[2].partition("</arg_value>")[0]
    return made
