"""How many tokens one request may be billed for at most, and what one answer was billed for.

Fails closed: what a provider does not say, or cannot be true, is taken as the worst case.
"""

from dataclasses import dataclass, replace
from typing import Literal

from serve.ledger.prices import Tariff
from serve.wire.openai_answer import PromptDetails, Usage

# Input is counted with OpenAI's ranks. Other vocabularies need up to half as many tokens again for the same text
# (code and languages other than English most), templates add some for each request, and an offer of tools a
# system prompt of several hundred.
OTHER_VOCABULARIES = 1.5
TEMPLATE_TOKENS = 64
TOOLS_TOKENS = 512
MEDIA_TOKENS = 3_000

# A stream that is cut: what the provider wrote until it noticed, and what it thought unseen before its first word.
UNDER_WAY_TOKENS = 256
UNSEEN_TOKENS_PER_S = 200


@dataclass(frozen=True, slots=True)
class Size:
    """What of a request costs. `limit`: the client's own limit of output tokens per choice.

    `kept`: how long its marks ask for the prompt to be kept in a provider's cache, None where it has none.
    """

    input_tokens: int
    limit: int | None
    choices: int = 1
    media: int = 0
    tools: bool = False
    kept: Literal["5m", "1h"] | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was billed for. `certain`: the provider said so, and it can be true.

    `cached` (read from a cache) and `written` (into one) are part of `input`, `written_1h` is part of `written`.
    """

    input: int
    cached: int
    output: int
    certain: bool
    written: int = 0
    written_1h: int = 0


def worst(size: Size, tariff: Tariff) -> Tokens:
    """The most that one attempt may be billed for."""
    tokens = int(size.input_tokens * OTHER_VOCABULARIES) + TEMPLATE_TOKENS
    tokens += TOOLS_TOKENS * size.tools + MEDIA_TOKENS * size.media
    most = tariff.most if size.limit is None else size.limit
    written = tokens if size.kept and tariff.writes else 0
    hour = written if size.kept == "1h" else 0
    return Tokens(tokens, 0, most * size.choices, certain=False, written=written, written_1h=hour)


def usual(size: Size) -> Tokens:
    """What one attempt will likely be billed for: good enough to compare lanes."""
    likely = 512 if size.limit is None else min(size.limit, 4096)
    return Tokens(size.input_tokens, 0, likely * size.choices, certain=False)


def reported(usage: Usage | None, heard: int, size: Size, tariff: Tariff) -> Tokens | None:
    """What the provider says, None where that cannot be true. `heard`: tokens of the answer that arrived.

    A total alone that cannot be true makes it uncertain, and no less than the counts beside it.
    """
    if usage is None:
        return None
    most = max(tariff.context, tariff.most) if size.limit is None else size.limit
    bounds = max(tariff.context, worst(size, tariff).input), most * size.choices
    taken, given = usage.prompt_tokens, usage.given
    if not (1 <= taken <= bounds[0] and (heard > 0) <= given and usage.completion_tokens <= bounds[1]):
        return None
    # No limit of the client holds for what some providers count in the total alone; what the lane holds does.
    if usage.unseen > max(tariff.context, tariff.most) * size.choices:
        return no_less(worst(size, tariff), taken, usage.completion_tokens)
    details = usage.prompt_tokens_details or PromptDetails()
    cached = min(details.cached_tokens or 0, taken)
    written = min(details.cache_write_tokens or 0, taken - cached)
    hour = min(details.cache_write_1h_tokens or 0, written)
    return Tokens(taken, cached, given, certain=True, written=written, written_1h=hour)


def no_less(tokens: Tokens, taken: int, given: int) -> Tokens:
    """An estimate, raised to what the provider has counted in any case."""
    return replace(tokens, input=max(tokens.input, taken), output=max(tokens.output, given))


def cut(heard: int, thought_s: float, size: Size, tariff: Tariff) -> Tokens:
    """A stream that broke off after `heard` tokens, the first of them `thought_s` seconds after the call was taken.

    What arrived is billed in any case. The provider may have written on until it noticed, and models that reason are
    billed for what they do not show; more than the worst case is never assumed.
    """
    most = worst(size, tariff)
    written = heard + UNDER_WAY_TOKENS + int(thought_s * UNSEEN_TOKENS_PER_S)
    return replace(most, output=min(most.output, written))
