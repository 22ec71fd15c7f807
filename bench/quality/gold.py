"""Are these the right calls? The rules of the sets' own checker, and a second opinion on schemas.

Knows nothing of the product: what the product says is measured against this.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from pydantic import JsonValue

from bench.quality.tool_cases import Call, Gold

_BETWEEN = r"[^.\w]|\\n|arguments|parameters|params|args|json|python"
_IGNORED = re.compile(r"[ ,./\-_*^'\"]")


def right(calls: Sequence[Call], gold: Gold) -> bool:
    """Each gold call is there once, in any order, and nothing else."""
    left = list(calls)
    if len(left) != len(gold):
        return False
    for name, allowed in gold:
        match = next((call for call in left if call[0] == name and _fits(call[1], allowed)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def violates(calls: Sequence[Call], tools: Mapping[str, dict[str, JsonValue]]) -> bool:
    """A call names no offered tool, or its arguments break the tool's schema, by another validator than ours."""
    return any(name not in tools or not _fits_schema(tools[name], args) for name, args in calls)


def holds_call(text: str, tools: Mapping[str, object]) -> bool:
    """A tool is called in `text`: its name has a bracket behind it, but for marks, or stands in JSON as a name."""
    names = "|".join(re.escape(name).replace(r"\.", r"[._]") for name in tools)
    called = rf"(?<!\w)(?:\w+\.)?(?:{names})(?:{_BETWEEN}){{0,60}}[({{\[]"
    named = rf"\b(?:name|function|tool)\W{{1,8}}(?:\w+\.)?(?:{names})\b"
    return bool(re.search(f"{called}|{named}", text.replace("\\\\_", "_")))


def plainly_read(text: str) -> list[Call] | None:
    """Calls that need no repair to be read, in the ways the sets' own readers know; None for everything else.

    A list of Python calls with literal arguments, tagged JSON, or `name` and JSON on the next line.
    """
    text = text.replace("\\_", "_")
    for read in (_python, _tagged, _lines):
        try:
            if calls := read(text):
                return calls
        except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return None


def _fits_schema(schema: Mapping[str, JsonValue], arguments: Mapping[str, JsonValue]) -> bool:
    return bool(_validator(json.dumps(schema, sort_keys=True)).is_valid(arguments))


def _fits(arguments: Mapping[str, Any], allowed: Mapping[str, Any]) -> bool:
    if any(name not in allowed for name in arguments):
        return False
    return all(
        _is_allowed(arguments[name], values) if name in arguments else "" in values
        for name, values in allowed.items()
    )


def _is_allowed(value: Any, values: Sequence[Any]) -> bool:
    return any(_same(value, one) for one in values)


def _same(value: Any, wanted: Any) -> bool:
    """Texts ignore case, spaces and most punctuation; in an object each key has its list of allowed values."""
    if isinstance(value, str) and isinstance(wanted, str):
        return _IGNORED.sub("", value).lower() == _IGNORED.sub("", wanted).lower()
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(_same, value, wanted))
    if isinstance(value, dict) and isinstance(wanted, dict):
        nested = {name: v if isinstance(v, list) else [v] for name, v in wanted.items()}
        return _fits(value, nested) or value == wanted
    return bool(value == wanted)


@lru_cache(maxsize=4096)
def _validator(schema: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(schema))


def _python(text: str) -> list[Call]:
    body = text.strip().strip("`\n ;").removeprefix("[").removesuffix("]").strip("'\" ")
    tree = ast.parse(f"[{body.replace(');', '),')}]", mode="eval").body
    return [_python_call(node) for node in tree.elts] if isinstance(tree, ast.List) else []


def _python_call(node: ast.expr) -> Call:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("not a call with named arguments")
    return ast.unparse(node.func), {str(k.arg): _literal(k.value) for k in node.keywords}


def _literal(node: ast.expr) -> Any:
    """A literal as JSON has it; a bare name is the text of itself."""
    if isinstance(node, ast.Name | ast.Attribute):
        word = ast.unparse(node)
        return {"true": True, "false": False, "null": None}.get(word, word)
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {str(_literal(k)): _literal(v) for k, v in zip(node.keys, node.values, strict=True) if k}
    return json.loads(json.dumps(ast.literal_eval(node)))


def _tagged(text: str) -> list[Call]:
    parts = re.split(r"<(?:tool_call|function_call)>", text)
    found: list[Call] = []
    for part in (part.partition("</")[0] for part in parts[1:] or parts):
        value = json.loads(part)
        for item in value.get("tool_calls", [value]):
            found.append((item["name"], item["arguments"]))
    return found


def _lines(text: str) -> list[Call]:
    name, _, rest = text.strip().partition("\n")
    value = json.loads(rest)
    return [(name.strip(), value)] if isinstance(value, dict) else []
