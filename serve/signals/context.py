"""Context pressure: how many tokens go in, and how many are asked to come out.

Counts with OpenAI's o200k_base ranks. A lane's own tokenizer may differ by some per cent: the lane
itself refuses what does not fit, and dispatch goes on to the next.
"""

import importlib.util
from functools import cache
from importlib.machinery import PathFinder
from typing import Protocol

from serve.request import RequestView
from serve.signals.readings import ContextReading

# Chat templates wrap a message in a handful of control tokens, and open the answer with some more
# (OpenAI cookbook, "How to count tokens with tiktoken"; ChatML of Qwen: <|im_start|>role\n … <|im_end|>\n).
TOKENS_PER_MESSAGE = 4
TOKENS_PER_ANSWER = 3
DEFAULT_OUTPUT_TOKENS = 512
# What the tokenizer holds of one text at a time is bounded by this; a cut adds at most one token.
SLICE_CHARS = 50_000


class _Tokenizer(Protocol):
    def count(self, text: str) -> int: ...


@cache
def _o200k() -> _Tokenizer:
    """The Rust tokenizer that bpe-openai ships, without the package around it.

    bpe-openai carries its ranks; tiktoken downloads them at run time, which fails offline. What the package itself
    adds at import are the same tables as Python objects, which nobody reads here: 84 MiB and 2 s of every process.
    """
    package = importlib.util.find_spec("bpe_openai")
    assert package is not None
    spec = PathFinder.find_spec("bpe_openai._bindings", package.submodule_search_locations)
    assert spec is not None
    assert spec.loader is not None
    native = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(native)
    tokenizer: _Tokenizer = native.tokenizer_for_encoding("o200k_base")
    return tokenizer


def count(text: str) -> int:
    """Tokens of `text` in o200k_base. Linear in the length of the text."""
    slices = (text[start : start + SLICE_CHARS] for start in range(0, len(text), SLICE_CHARS))
    return sum(_o200k().count(_without_surrogates(part)) for part in slices)


def _without_surrogates(text: str) -> str:
    # Half a character cannot be sent, but an earlier answer that is quoted may hold one.
    return text.encode("utf-8", "replace").decode()


def read(view: RequestView) -> ContextReading:
    """Every string leaf counts, tool schemas and arguments included, plus the template around messages."""
    if view.embeds:
        counts = [count(leaf.text) for leaf in view.leaves]
        return ContextReading(sum(counts), 0, max(counts))
    messages = 1 + max((_message_index(leaf.path) for leaf in view.leaves), default=0)
    text = sum(count(leaf.text) for leaf in view.leaves)
    overhead = messages * TOKENS_PER_MESSAGE + TOKENS_PER_ANSWER
    return ContextReading(
        input_tokens=text + overhead, output_tokens=view.output_tokens or DEFAULT_OUTPUT_TOKENS
    )


def _message_index(path: str) -> int:
    return int(path[9 : path.index("]")]) if path.startswith("messages[") else 0
