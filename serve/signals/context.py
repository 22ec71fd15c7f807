"""Context pressure: how many tokens go in, and how many are asked to come out.

Counts with OpenAI's o200k_base ranks. A lane's own tokenizer may differ by some per cent: the lane
itself refuses what does not fit, and dispatch goes on to the next.
"""

from serve import ranks
from serve.request import RequestView
from serve.signals.readings import ContextReading
from serve.signals.remember import Remember

# Chat templates wrap a message in a handful of control tokens, and open the answer with some more
# (OpenAI cookbook, "How to count tokens with tiktoken"; ChatML of Qwen: <|im_start|>role\n … <|im_end|>\n).
TOKENS_PER_MESSAGE = 4
TOKENS_PER_ANSWER = 3
DEFAULT_OUTPUT_TOKENS = 512
# What the tokenizer holds of one text at a time is bounded by this; a cut adds at most one token.
SLICE_CHARS = 50_000
# A digest and a number each: about 1 MB in all.
REMEMBERED = 8_192


def count(text: str) -> int:
    """Tokens of `text` in o200k_base. Linear in the length of the text."""
    slices = (text[start : start + SLICE_CHARS] for start in range(0, len(text), SLICE_CHARS))
    return sum(ranks.o200k().count(_without_surrogates(part)) for part in slices)


_COUNTS = Remember(count, REMEMBERED)


def _without_surrogates(text: str) -> str:
    # Half a character cannot be sent, but an earlier answer that is quoted may hold one.
    return text.encode("utf-8", "replace").decode()


def read(view: RequestView) -> ContextReading:
    """Every string leaf counts, tool schemas and arguments included, plus the template around messages."""
    if view.embeds:
        counts = [_COUNTS.of(leaf.text) for leaf in view.leaves]
        return ContextReading(sum(counts), 0, max(counts))
    messages = 1 + max((_message_index(leaf.path) for leaf in view.leaves), default=0)
    text = sum(_COUNTS.of(leaf.text) for leaf in view.leaves)
    overhead = messages * TOKENS_PER_MESSAGE + TOKENS_PER_ANSWER
    return ContextReading(
        input_tokens=text + overhead, output_tokens=view.output_tokens or DEFAULT_OUTPUT_TOKENS
    )


def _message_index(path: str) -> int:
    return int(path[9 : path.index("]")]) if path.startswith("messages[") else 0
