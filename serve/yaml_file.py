"""YAML as bytes to plain values, with limits: a configuration may be changed while it serves.

Knows size, depth, aliases and doubled keys. Does not know what a configuration is.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from serve.errors import ConfigError

MAX_BYTES = 256 << 10
MAX_NODES = 50_000
"""Values of a file with every alias written out: a few lines of aliases can stand for billions."""


def read(path: Path | str) -> bytes:
    """The file's bytes. Raises ConfigError when it cannot be read or is too large."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES >> 10} KiB: this is no configuration")
    return content


def parse(content: bytes, source: Path | str) -> object:
    """The values in `content`. Raises ConfigError that names `source` and the place of the fault."""
    try:
        text = content.decode()
        loader = _StrictLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _measure(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not readable YAML: {_words(error)}") from None


def _words(error: Exception) -> str:
    """What is wrong and where, without the line itself: a dictionary of confidential words may stand there."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    problem = getattr(error, "problem", None) or "this is no YAML"
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})"


class _StrictLoader(yaml.SafeLoader):
    """PyYAML lets a key that stands twice win silently; here it is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _value in node.value]
        for place, (key, _value) in enumerate(node.value):
            if keys[place] in keys[:place]:
                raise yaml.constructor.ConstructorError(None, None, "a key stands twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _measure(node: yaml.Node, known: dict[int, int]) -> int:
    """Values below `node`, aliases written out. Raises yaml.YAMLError past the limit or for a loop."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MAX_NODES  # what leads back to here has no end
    children = (
        [part for pair in node.value for part in pair]
        if isinstance(node, yaml.MappingNode)
        else (node.value if isinstance(node, yaml.SequenceNode) else [])
    )
    size = 1 + sum(_measure(child, known) for child in children)
    if size > MAX_NODES:
        raise yaml.YAMLError(f"more than {MAX_NODES:,} values, aliases written out, or an alias to itself")
    known[id(node)] = size
    return size
