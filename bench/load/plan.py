"""What is asked and when: the built-in mix or a file in turn, or a trace's lengths at a trace's times."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.load.arrivals import Arrival, poisson
from bench.load.texts import Texts
from bench.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Planned:
    """One request to come. `at`: seconds from the start of the run, None as soon as a worker is free."""

    prompt: Prompt
    at: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`total` requests; `fixed` is part of each body. Without a trace `mix` is asked in turn."""

    total: int
    fixed: dict[str, Any]
    mix: Sequence[Prompt]
    seed: int
    timed: bool
    rate: float | None = None
    trace: Sequence[Arrival] = ()
    input_limit: int | None = None
    output_limit: int | None = None

    def __iter__(self) -> Iterator[Planned]:
        """The same requests in the same order every time; the pool of texts now, each text when it is asked for."""
        if not self.trace:
            return self._mixed()
        return self._replayed(Texts([text for prompt in self.mix if (text := _text(prompt))], self.seed))

    @property
    def seconds(self) -> float | None:
        """When the last request is to be sent; None without times."""
        if not self.timed:
            return None
        return self.trace[self.total - 1].at if self.trace else (self.total - 1) / (self.rate or 1)

    def _mixed(self) -> Iterator[Planned]:
        times = poisson(self.rate, self.seed) if self.rate else iter(())
        for number in range(self.total):
            prompt = self.mix[number % len(self.mix)]
            limit = {"max_tokens": self.output_limit or 32}
            yield Planned(Prompt(prompt.kind, prompt.body | self.fixed | limit), next(times, None))

    def _replayed(self, texts: Texts) -> Iterator[Planned]:
        for arrival in self.trace[: self.total]:
            yield Planned(Prompt(*self._traced(texts, arrival)), arrival.at if self.timed else None)

    def _traced(self, texts: Texts, arrival: Arrival) -> tuple[str, dict[str, Any]]:
        size = min(arrival.input_tokens, self.input_limit or arrival.input_tokens)
        cut = Arrival(arrival.at, size, arrival.output_tokens, arrival.prefix)
        body = {"messages": [{"role": "user", "content": texts.prompt(cut)}]}
        limit = min(arrival.output_tokens, self.output_limit or arrival.output_tokens)
        return _kind(size), body | self.fixed | {"max_tokens": limit}


def _text(prompt: Prompt) -> str:
    text = prompt.body["messages"][0]["content"]
    return text if isinstance(text, str) else ""


def _kind(tokens: int) -> str:
    for limit, name in ((1_000, "under 1k tokens"), (4_000, "1k to 4k"), (8_192, "4k to 8k")):
        if tokens < limit:
            return name
    return "over 8k"
