"""How a client learns what a stream has cost: at its end, where headers are long gone.

An SSE comment, which every decoder skips by the standard; and, where the client asked for usage, a field of the chunk
that carries it. A chunk of our own would have no choices, and clients that did not ask for usage take the first
choice of every chunk unseen.
"""

import json

from serve.ledger import money
from serve.wire.openai_answer import NOT_FOR_CLIENTS, ChatChunk

COST_HEADER = "x-pointsman-cost-usd"


def comment(cost: int) -> bytes:
    """`: x-pointsman-cost-usd 0.001234`, for micro-dollars."""
    return f": {COST_HEADER} {money.usd(cost)}\n\n".encode()


def carries_usage(chunk: ChatChunk) -> bool:
    """Whether it is the one at the end that a client gets when it asks for usage."""
    return not chunk.choices and chunk.usage is not None


def with_cost(chunk: ChatChunk, cost: int) -> bytes:
    """The chunk of usage as JSON, with the cost in US dollars beside it."""
    document = chunk.model_dump(mode="json", exclude_none=True, exclude=NOT_FOR_CLIENTS)
    more = {"x_pointsman": {"cost_usd": cost / money.MICRO}}
    return json.dumps(document | more, separators=(",", ":"), ensure_ascii=False).encode()
