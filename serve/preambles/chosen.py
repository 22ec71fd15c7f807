"""Which preamble a lane gets for one request, and what the request looks like with it.

Pure: a decision counts its tokens, dispatch sends it, `/v1/route` and a header show it, and all of them ask here.
"""

from functools import lru_cache

from serve.config import ON_PREMISES, Config
from serve.preambles.config import Preamble
from serve.signals import context
from serve.signals.readings import TaskReading
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_messages import Message, SystemMessage, TextPart

HEADER = "x-pointsman-preamble"


def of(config: Config, lane: str, task: TaskReading) -> Preamble | None:
    """The preamble of a lane for this task; never one for a lane that is not on the premises, or makes embeddings."""
    if not config.preambles:
        return None
    known = config.lane(lane)
    if known.location not in ON_PREMISES or known.embeddings:
        return None
    return next((preamble for preamble in config.preambles if preamble.fits(lane, task)), None)


def tokens(config: Config, lane: str, task: TaskReading) -> int:
    """How much longer the preamble makes a request to this lane."""
    preamble = of(config, lane, task)
    return 0 if preamble is None else added(preamble)


def added(preamble: Preamble) -> int:
    """Tokens of input beyond what the client sent."""
    return _count(preamble.text) + context.TOKENS_PER_MESSAGE if preamble.text else 0


def applied(preamble: Preamble, request: ChatRequest) -> ChatRequest:
    """The request as the lane gets it. What the client wrote stays, word for word, behind the preamble."""
    changes: dict[str, object] = {}
    if preamble.text:
        changes["messages"] = _after(preamble.text, request.messages)
    if request.temperature is None and request.top_p is None:
        changes |= {"temperature": preamble.temperature, "top_p": preamble.top_p}
    return request.model_copy(update=changes)


def _after(text: str, messages: list[Message]) -> list[Message]:
    """Many chat templates take one system message alone, so the client's first one is made longer."""
    first = messages[0]
    if not isinstance(first, SystemMessage):
        return [SystemMessage(role="system", content=text), *messages]
    if isinstance(first.content, str):
        content: str | list[TextPart] = f"{text}\n\n{first.content}"
    else:
        content = [TextPart(type="text", text=text), *first.content]
    return [first.model_copy(update={"content": content}), *messages[1:]]


@lru_cache(maxsize=64)
def _count(text: str) -> int:
    return context.count(text)
