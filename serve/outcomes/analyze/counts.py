"""How many tokens one object says were billed for, in the words of the providers we know.

OpenAI's input contains what was cached; Anthropic counts what was read from and written into a cache beside it.
"""

from dataclasses import dataclass

from pydantic import JsonValue

MOST_TOKENS = 10_000_000_000

_IN = ("prompt_tokens", "input_tokens", "n_context_tokens_total", "context_tokens")
_FRESH = ("uncached_input_tokens", "usage_input_tokens_no_cache")
_OUT = (
    "completion_tokens",
    "output_tokens",
    "usage_output_tokens",
    "n_generated_tokens_total",
    "generated_tokens",
)
_PART = ("input_cached_tokens", "cached_tokens", "n_cached_context_tokens_total")
_READ = ("cache_read_input_tokens", "usage_input_tokens_cache_read")
_WRITTEN = ("cache_creation_input_tokens",)
_WRITTEN_BY_AGE = (
    *("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"),
    *("usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h"),
)
_DETAILS = ("prompt_tokens_details", "input_tokens_details", "cache_creation")

Fields = dict[str, JsonValue]


class BadLine(ValueError):
    """A line that says nothing; the message says why, without quoting it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens, None where nothing says how many. `cached` (read from a cache) and `written` are part of `input`."""

    input: int | None
    output: int | None
    cached: int = 0
    written: int = 0


def counts(usage: Fields) -> Counts:
    """Raises BadLine for a number of tokens that cannot be."""
    flat = usage | {name: value for part in _DETAILS for name, value in _object(usage, part).items()}
    given, read, written = first(flat, _OUT), first(flat, _READ) or 0, _written(flat)
    fresh, whole = first(flat, _FRESH), first(flat, _IN)
    apart = fresh if fresh is not None else whole if read or written else None
    if apart is not None:
        return Counts(apart + read + written, given, read, written)
    part = first(flat, _PART) or 0
    return Counts(whole, given, min(part, whole or 0))


def first(value: Fields, names: tuple[str, ...]) -> int | None:
    """The first of these that is there. Raises BadLine when it is no number of tokens or calls."""
    for name in names:
        found = value.get(name)
        if found is None:
            continue
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MOST_TOKENS:
            raise BadLine(f"{name} is no number of tokens or calls")
        return found
    return None


def _written(flat: Fields) -> int:
    whole = first(flat, _WRITTEN)
    return sum(first(flat, (name,)) or 0 for name in _WRITTEN_BY_AGE) if whole is None else whole


def _object(value: Fields, name: str) -> Fields:
    inner = value.get(name)
    return inner if isinstance(inner, dict) else {}
