"""The reference of the configuration as Markdown, made from the models that check it: it cannot be out of date.

Knows the models. Explains no idea: docs/configuration.md does that.
"""

import re
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from serve import hot
from serve.config import Config, EnvRef, FileRef

COMMAND = "pointsman config reference --out docs/configuration-reference.md"
TITLE = "the whole file"
PLAIN: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    Path: "path",
    EnvRef: "`{env: NAME}`",
    FileRef: "`{file: /path}`",
    types.NoneType: "null",
}
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def markdown() -> str:
    """The whole page."""
    head = (
        "# Configuration reference\n\n"
        f"Made from the models in `serve/config/` by `{COMMAND}`; change those, not this page.\n"
        "What the sections are for is in [Configuration](configuration.md). Any other key is a mistake.\n"
        "*live*: may change while Pointsman runs ([Changing it while it runs](reload.md)).\n"
    )
    return "\n".join([head, *(_section(path, model) for path, model in sections())])


def sections() -> list[tuple[str, type[BaseModel]]]:
    """Every model below the configuration, once, at the first path that leads to it."""
    found: dict[type[BaseModel], str] = {}

    def walk(path: str, model: type[BaseModel]) -> None:
        if model in found or model in PLAIN:
            return
        found[model] = path
        for name, field in model.model_fields.items():
            for below, inner in _models(field.annotation, f"{path}.{name}" if path else name):
                walk(below, inner)

    walk("", Config)
    return [(path, model) for model, path in found.items()]


def _section(path: str, model: type[BaseModel]) -> str:
    kinds = [part for name, field in model.model_fields.items() if name == "kind" for part in _choices(field)]
    kind = f" (kind {' or '.join(kinds)})" if kinds else ""
    about = " ".join((model.__doc__ or "").split())
    lines = [f"## `{path}`{kind}" if path else f"## {TITLE.capitalize()}", "", about, ""]
    lines += ["| key | value | default | |", "| --- | --- | --- | --- |"]
    lines += [_row(path, name, field) for name, field in model.model_fields.items()]
    return "\n".join([*lines, ""])


def _choices(field: FieldInfo) -> list[str]:
    return [str(choice) for choice in typing.get_args(field.annotation)]


def _row(path: str, name: str, field: FieldInfo) -> str:
    limits = list(_limits(field.metadata))
    value = ", ".join([_words(field.annotation), *limits])
    notes = [re.sub(r"\bNone\b", "null", field.description or ""), "*live*" if _is_live(path, name) else ""]
    cells = (f"`{name}`", value, _default(field), "; ".join(filter(None, notes)))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _is_live(path: str, name: str) -> bool:
    whole = f"{path}.{name}".lstrip(".")
    return whole.split(".")[0] in hot.SECTIONS or (path == "lanes[]" and name in hot.SWITCHES)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "as below"
    if value is None:
        return "null"
    return f"`{_plain(value)}`"


def _plain(value: object) -> str:
    """A value as YAML has it, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_plain(key)}: {_plain(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, frozenset | tuple | list):
        parts = [_plain(part) for part in value]
        return f"[{', '.join(sorted(parts) if isinstance(value, frozenset) else parts)}]"
    return str(value)


def _words(annotation: Any) -> str:
    """A type as a person says it."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return ", ".join([_words(parts[0]), *_limits(parts[1:])])
    if origin is Literal:
        return ", ".join(f"`{_plain(part)}`" for part in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(part) for part in parts))
    if origin in (tuple, list, frozenset, set):
        return f"list of {_words(parts[0])}"
    if origin is dict:
        key = _words(parts[0])
        return (
            f"{key if typing.get_origin(parts[0]) is Literal else key.partition(',')[0]} → {_words(parts[1])}"
        )
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{_plain(member)}`" for member in annotation)
    return "section" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else "any value"


def _limits(metadata: typing.Iterable[Any]) -> Iterator[str]:
    for limit in metadata:
        if isinstance(limit, FieldInfo):
            yield from _limits(limit.metadata)
            continue
        for name, words in BOUNDS.items():
            if (bound := getattr(limit, name, None)) is not None:
                yield f"{words} {bound}"
        if isinstance(limit, annotated_types.MinLen) and limit.min_length:
            yield (
                f"at least {limit.min_length} of them"
                if limit.min_length == 1
                else f"at least {limit.min_length} long"
            )
        if pattern := getattr(limit, "pattern", None):
            yield f"matching `{pattern}`"


def _models(annotation: Any, path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models inside a type, each with the path that leads to it."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield path, annotation
    elif origin is dict:
        yield from _models(parts[1], f"{path}.NAME")
    elif origin in (tuple, list, frozenset):
        yield from _models(parts[0], f"{path}[]")
    elif origin is typing.Annotated:
        yield from _models(parts[0], path)
    else:
        for part in parts:
            if not isinstance(part, str | int | float | bool):
                yield from _models(part, path)
