"""Prompts of a wanted number of tokens, cut from real ones. Knows no server.

Tokens are o200k_base's; another tokenizer counts a few per cent more or less.
"""

import random
from bisect import bisect_left
from collections.abc import Sequence

import bpe_openai

from bench.load.arrivals import Arrival

BLOCK = 512
"""Tokens of one block of a shared prefix."""
NEAREST = 16
"""How many prompts of about the right length one is drawn from."""


class Texts:
    """A pool of prompts. The same seed gives the same texts in the same order."""

    def __init__(self, prompts: Sequence[str], seed: int) -> None:
        self._bpe = bpe_openai.get_encoding("o200k_base")
        self._prompts = sorted((self._bpe.encode_ordinary(text) for text in prompts), key=len)
        self._sizes = [len(tokens) for tokens in self._prompts]
        self._stream = [token for tokens in self._prompts for token in tokens]
        self._draw = random.Random(seed)

    def prompt(self, arrival: Arrival) -> str:
        """A text of about `input_tokens`; requests that share prefix blocks get the same text for them."""
        if arrival.prefix:
            return self._shared(arrival)
        return self.of(arrival.input_tokens)

    def of(self, size: int) -> str:
        """A prompt of nearly that many tokens, with others after it where none is long enough."""
        nearest = bisect_left(self._sizes, size)
        first = min(max(0, nearest - NEAREST // 2), max(0, len(self._prompts) - NEAREST))
        tokens = list(self._draw.choice(self._prompts[first : first + NEAREST]))
        while len(tokens) < size:
            tokens += self._draw.choice(self._prompts)
        return self._text(tokens[:size])

    def _shared(self, arrival: Arrival) -> str:
        tokens: list[int] = []
        for block in arrival.prefix:
            tokens += self._block(block)
        return self._text(tokens[: arrival.input_tokens])

    def _block(self, block: int) -> list[int]:
        """The tokens that a block always stands for."""
        start = random.Random(block).randrange(len(self._stream))
        tokens = self._stream[start : start + BLOCK]
        while len(tokens) < BLOCK:
            tokens += self._stream[: BLOCK - len(tokens)]
        return tokens

    def _text(self, tokens: list[int]) -> str:
        # A cut may leave half a character behind.
        text: str = self._bpe.decode_bytes(tokens).decode("utf-8", errors="ignore")
        return text or "."
