"""What the client explicitly wishes: a pinned lane, a tier, a stricter class.

Reads the model name, `x-pointsman-*` headers and a prefix at byte 0 of the last user message.
Does not decide: the policy may refuse a wish. None lowers a detected class, but that rules which the caller's key
names may be set aside. What the key does not allow is no wish: a prefix is plain text then, and a lane by name is
refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar, get_args

from serve import checks
from serve.checks import Checks
from serve.config import Config, HttpLane
from serve.errors import InvalidRequest, KeyForbids, UnknownModel
from serve.keys.rights import Rights
from serve.signals.readings import Latency, Sensitivity, Stakes
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_embeddings import Embed
from serve.wire.openai_messages import TextPart, UserMessage

Preference = Literal["cloud", "tier2", "tier3"]
PREFIXES: Mapping[str, Preference] = {
    "[cloud]": "cloud",
    "[tier2]": "tier2",
    "[heavy]": "tier2",
    "[tier3]": "tier3",
}

STAKES: tuple[Stakes, ...] = get_args(Stakes)
LATENCIES: tuple[Latency, ...] = get_args(Latency)
HEADERS = (
    "x-pointsman-sensitivity",
    "x-pointsman-prefer",
    "x-pointsman-exempt",
    "x-pointsman-stakes",
    "x-pointsman-latency",
    checks.HEADER,
)
Word = TypeVar("Word", bound=str)


@dataclass(frozen=True, slots=True)
class Wish:
    """pin: the only lane that may answer. prefer: what should come first. at_least: lowest class.

    lanes: those the key may use, None for all. exempt: rules of the sensitivity signal that do not count.
    model: whose vectors are wanted: any lane of that model may make them.
    stakes, latency: what the client says of the request; what follows from it is the policy's to say.
    checks: what the answer must be like beyond its shape; whoever answers.
    """

    pin: str | None = None
    prefer: Preference | None = None
    at_least: Sensitivity = Sensitivity.PUBLIC
    lanes: frozenset[str] | None = None
    exempt: frozenset[str] = frozenset()
    stakes: Stakes = "normal"
    latency: Latency = "interactive"
    checks: Checks | None = None
    model: str | None = None


def read(
    request: ChatRequest, headers: Mapping[str, str], config: Config, rights: Rights
) -> tuple[ChatRequest, Wish]:
    """The wish, and the request without the prefix that expressed it.

    Raises UnknownModel for a model nobody configured, InvalidRequest for a header that means nothing, KeyForbids
    for a lane by name when the key may not choose, or a rule that the key may not set aside.
    """
    at_least = max(rights.floor, _class(headers.get("x-pointsman-sensitivity")))
    exempt = _exempt(headers.get("x-pointsman-exempt"), rights)
    model = _embedding_model(request, config)
    wish = Wish(
        pin=None if model else _pin(request.model, config),
        model=model,
        at_least=at_least,
        lanes=rights.lanes,
        exempt=exempt,
        stakes=_one_of(STAKES, headers, "x-pointsman-stakes", "normal"),
        latency=_one_of(LATENCIES, headers, "x-pointsman-latency", "interactive"),
        checks=checks.read(headers),
    )
    if (wish.pin or wish.model) and not rights.overrides:
        raise KeyForbids("This key may not choose a lane: send the model auto", param="model")
    if not (config.policy.overrides and rights.overrides):
        return request, wish
    if header := headers.get("x-pointsman-prefer"):
        return request, replace(wish, prefer=_preference(header))
    if isinstance(request, Embed):  # what is embedded is data from its first word on
        return request, wish
    request, prefer = _strip_prefix(request)
    return request, replace(wish, prefer=prefer)


def _embedding_model(request: ChatRequest, config: Config) -> str | None:
    """The model, where the client names one whose vectors it wants, and no lane."""
    lanes = [lane for lane in config.lanes if lane.kind != "engine" and lane.embeddings]
    named = any(lane.name == request.model for lane in config.lanes)
    if not isinstance(request, Embed) or named or request.model not in {lane.model for lane in lanes}:
        return None
    return request.model


def _pin(model: str, config: Config) -> str | None:
    if model == "auto":
        return None
    for lane in config.lanes:
        if model == lane.name or (isinstance(lane, HttpLane) and model == f"cloud/{lane.model}"):
            return lane.name
    known = ", ".join(["auto", *(lane.name for lane in config.lanes)])
    raise UnknownModel(f"model {model[:64]!r} is not known here; known: {known}", param="model")


def _class(header: str | None) -> Sensitivity:
    if header is None:
        return Sensitivity.PUBLIC
    try:
        return max(Sensitivity.parse(name.strip()) for name in header.split(","))
    except KeyError:
        raise InvalidRequest(
            "x-pointsman-sensitivity must be public, internal or confidential",
            param="x-pointsman-sensitivity",
        ) from None


def _one_of(known: tuple[Word, ...], headers: Mapping[str, str], name: str, usual: Word) -> Word:
    if (header := headers.get(name)) is None:
        return usual
    for word in known:
        if header.strip().lower() == word:
            return word
    raise InvalidRequest(f"{name} must be {', '.join(known[:-1])} or {known[-1]}", param=name)


def _exempt(header: str | None, rights: Rights) -> frozenset[str]:
    rules = frozenset(name.strip() for name in (header or "").split(",")) - {""}
    if not rules <= rights.exempt:
        words = (
            "This key may not set that rule aside: `pointsman keys create --exempt RULE` makes one that may"
        )
        raise KeyForbids(words, param="x-pointsman-exempt")
    return rules


def _preference(header: str) -> Preference:
    for known in ("cloud", "tier2", "tier3"):
        if header.strip().lower() == known:
            return known
    raise InvalidRequest("x-pointsman-prefer must be cloud, tier2 or tier3", param="x-pointsman-prefer")


def _strip_prefix(request: ChatRequest) -> tuple[ChatRequest, Preference | None]:
    last = next(
        (i for i in range(len(request.messages) - 1, -1, -1) if request.messages[i].role == "user"), None
    )
    if last is None:
        return request, None
    message = request.messages[last]
    for prefix, preference in PREFIXES.items():
        if isinstance(message, UserMessage) and _opens(message).startswith(prefix):
            messages = [*request.messages]
            messages[last] = _without(message, len(prefix))
            return request.model_copy(update={"messages": messages}), preference
    return request, None


def _opens(message: UserMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    first = message.content[0]
    return first.text if isinstance(first, TextPart) else ""


def _without(message: UserMessage, count: int) -> UserMessage:
    if isinstance(message.content, str):
        return message.model_copy(update={"content": message.content[count:].lstrip()})
    first = message.content[0]
    assert isinstance(first, TextPart)
    shorter = first.model_copy(update={"text": first.text[count:].lstrip()})
    return message.model_copy(update={"content": [shorter, *message.content[1:]]})
