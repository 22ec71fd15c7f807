"""OpenAI's token ranks, as bpe-openai ships them, without the package around them.

bpe-openai carries its ranks; tiktoken downloads them at run time, which fails offline. What the package itself adds at
import are the same tables as Python objects, which nobody reads here: 84 MiB and 2 s of every process.
"""

import base64
import gzip
import importlib.util
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Protocol

from serve import resident

PACKAGE = "bpe_openai"


class Counter(Protocol):
    """The Rust tokenizer. It is asked to count and nothing else: it aborts the process over a token that is none."""

    def count(self, text: str) -> int:
        """Tokens of `text`, in linear time. Raises UnicodeEncodeError for half a character."""
        ...


@cache
def o200k() -> Counter:
    """Counts in o200k_base, the vocabulary of the GPT-4o family."""
    spec = PathFinder.find_spec(f"{PACKAGE}._bindings", _folders())
    assert spec is not None
    assert spec.loader is not None
    native = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(native)
    counter: Counter = native.tokenizer_for_encoding("o200k_base")
    # What it was built from lies in the library, 33 MiB that were read once and would stay resident.
    resident.let_go(Path(native.__file__ or ""))
    return counter


@cache
def cl100k() -> tuple[bytes, ...]:
    """The bytes of each ordinary token of cl100k_base, by its number."""
    path = Path(_folders()[0]) / "data" / "cl100k_base.tiktoken.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines()
    return tuple(base64.b64decode(line.split()[0]) for line in lines)


def _folders() -> list[str]:
    package = importlib.util.find_spec(PACKAGE)  # does not import it
    assert package is not None
    return list(package.submodule_search_locations or ())
