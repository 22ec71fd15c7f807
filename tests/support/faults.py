"""The one table of what an upstream can be asked to do: the model name is the fault.

Knows which knobs a name turns. Does not know how a knob is played, nor either wire.

Names are matched after the last `/` (`fake/err_in_stream_3`), and joined with `+` they add up
(`slow_chunks_20+long_200`; where two turn the same knob, the later one wins).
A name that resembles no fault behaves as `ok`; one that misspells a fault is a 404.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal

Break = Literal["fin", "rst", "half", "error", "end"]
TroubleKind = Literal["server", "overloaded", "rate_limit", "auth", "context", "invalid", "not_found", "echo"]
UsageKind = Literal["true", "absurd", "nan", "none", "cached", "unseen", "late"]
Shape = Literal[
    "right", "prose", "bad_json", "fenced", "bare", "wrong_type", "missing_required", "secret",
    "chatty", "json_fenced", "json_invalid", "json_wrong_schema", "json_missing_brace",
]  # fmt: skip

AFTER_HEAD = -1
"""`break_at` for a break right after the response headers, before any event."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """An HTTP error answer. `once`: only the first time the same messages are sent."""

    status: int
    kind: TroubleKind
    retry_after: str | None = None
    once: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """How one answer is played. The defaults are a healthy upstream."""

    trouble: Trouble | None = None
    hang: bool = False
    drop: bool = False
    garbage: bool = False
    wait_head_ms: int = 0
    wait_first_ms: int = 0
    wait_second_ms: int = 0
    wait_each_ms: int = 0
    break_at: int | None = None  # content chunks sent before the break, or AFTER_HEAD
    break_how: Break = "fin"
    cut_end: bool = False
    done: bool = True
    slice: int = 0
    chunks: int = 0  # exact number of prose chunks, 0 for as many as it takes
    line_kib: int = 0
    usage: UsageKind = "true"
    shape: Shape = "right"
    talk: int = 0  # prose chunks before a tool call
    loose: bool = False  # the shape is right where `tool_choice` demands a call
    thinks: bool = False  # Messages alone: thinks where it is asked to
    told: bool = False  # the prompt's first word names the script

    def plus(self, other: "Script") -> "Script":
        """This script with every knob that `other` turns."""
        turned = {
            f.name: getattr(other, f.name) for f in fields(other) if getattr(other, f.name) != f.default
        }
        return replace(self, **turned)


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: `name` may end in a `<parameter>`; `example` is a name a client can send."""

    name: str
    does: str
    make: Callable[[str], Script]
    example: str

    @property
    def stem(self) -> str:
        """The fixed part of the name."""
        return self.name.partition("_<")[0]

    def match(self, model: str) -> Script | None:
        """The script if `model` is this fault."""
        parameter = ".+" if self.name.endswith("<text>") else r"\d+"
        pattern = re.escape(self.stem) + (f"_({parameter})" if "<" in self.name else "()")
        found = re.fullmatch(pattern, model)
        return self.make(found[1]) if found else None


def _is(name: str, does: str, script: Script) -> Fault:
    return Fault(name, does, lambda _: script, name)


def _takes(name: str, example: str, does: str, make: Callable[[int], Script]) -> Fault:
    return Fault(name, does, lambda text: make(int(text)), f"{name.partition('_<')[0]}_{example}")


def _cut(k: int, how: Break) -> Script:
    return Script(break_at=k, break_how=how, chunks=k + 2)


FAULTS: tuple[Fault, ...] = (
    _is("ok", "a short answer: `upstream` and the prompt's first 40 characters", Script()),
    _is("as_told", "whatever fault the first word of the prompt names", Script(told=True)),
    _is("plain", "ignores tools and answers prose", Script(shape="prose")),
    # time
    _takes(
        "slow_head_<ms>", "300", "silent for ms, then a healthy answer", lambda ms: Script(wait_head_ms=ms)
    ),
    _takes(
        "slow_first_<ms>",
        "300",
        "ms between head (and role) and first content",
        lambda ms: Script(wait_first_ms=ms),
    ),
    _takes(
        "slow_second_chunk_<ms>",
        "300",
        "ms between first and second content",
        lambda ms: Script(wait_second_ms=ms),
    ),
    _takes(
        "slow_chunks_<ms>", "20", "20 chunks, ms between them", lambda ms: Script(wait_each_ms=ms, chunks=20)
    ),
    _is("hang", "accepts, reads, never answers", Script(hang=True)),
    # sockets
    _is("drop", "closes without a single byte", Script(drop=True)),
    _is("die_before_first", "closes right after the head", Script(break_at=AFTER_HEAD)),
    _takes("err_in_stream_<k>", "3", "closes (FIN) after k content chunks", lambda k: _cut(k, "fin")),
    _takes("rst_<k>", "3", "resets (RST) after k content chunks", lambda k: _cut(k, "rst")),
    _takes("cut_mid_frame_<k>", "3", "closes in the middle of event k + 1", lambda k: _cut(k, "half")),
    # streams that lie while the transport is in order
    _takes(
        "error_event_<k>",
        "2",
        "in-band error object after k content chunks (0: first of all)",
        lambda k: _cut(k or AFTER_HEAD, "error"),
    ),
    _is("no_done", "complete, but no [DONE] / message_stop", Script(done=False)),
    _takes("no_finish_<k>", "3", "ends in order after k chunks, no finish reason", lambda k: _cut(k, "end")),
    _is("cut_last_end", "closes before the last choice's finish reason", Script(cut_end=True)),
    _is("empty_stream", "200 and a body of zero bytes", Script(break_at=AFTER_HEAD, break_how="end")),
    _takes(
        "sliced_<n>", "1", "n-byte slices, CRLF, BOM, comments, split data lines", lambda n: Script(slice=n)
    ),
    _takes("long_<n>", "50", "exactly n content chunks", lambda n: Script(chunks=n)),
    _takes("huge_line_<kib>", "256", "one event of that many KiB", lambda kib: Script(line_kib=kib)),
    _is("bad_json", "200 with garbage where JSON should be", Script(garbage=True)),
    # statuses
    _is("500", "server error", Script(trouble=Trouble(500, "server"))),
    _is("503", "overloaded", Script(trouble=Trouble(503, "overloaded"))),
    _is("429", "rate limited, Retry-After: 1", Script(trouble=Trouble(429, "rate_limit", "1"))),
    Fault(
        "429_after_<text>",
        "rate limited, with this Retry-After",
        lambda text: Script(trouble=Trouble(429, "rate_limit", text)),
        "429_after_-1",
    ),
    _is(
        "429_then_ok",
        "429 (Retry-After: 0) once per messages",
        Script(trouble=Trouble(429, "rate_limit", "0", True)),
    ),
    _is("500_then_ok", "500 once per messages", Script(trouble=Trouble(500, "server", None, True))),
    _is("401", "key refused", Script(trouble=Trouble(401, "auth"))),
    _is("400_context", "prompt longer than the window", Script(trouble=Trouble(400, "context"))),
    _is(
        "echo_secrets", "400 that echoes prompt and key, in headers too", Script(trouble=Trouble(400, "echo"))
    ),
    # usage
    _is("bad_usage", "-1 in, 1e12 out", Script(usage="absurd")),
    _is("nan_usage", "NaN in, NaN out", Script(usage="nan")),
    _is("no_usage", "no usage anywhere", Script(usage="none")),
    _is("unseen_usage", "1100 more tokens in the total than beside it (OpenAI)", Script(usage="unseen")),
    _is(
        "late_usage",
        "input is nought at the start of a stream, and told at its end (Anthropic)",
        Script(usage="late"),
    ),
    _is("cached_usage", "half read from a cache, a quarter written (Anthropic)", Script(usage="cached")),
    # tool calls; without tools offered these answer like `ok`
    _is(
        "tool_bad_json", "arguments do not parse (Anthropic unary: a string input)", Script(shape="bad_json")
    ),
    _is("tool_fenced", "the call as a fenced JSON block in the text", Script(shape="fenced")),
    _is("tool_bare", "the call as bare JSON in the text", Script(shape="bare")),
    _is("tool_chatty", "the call as bare JSON after a sentence", Script(shape="chatty")),
    _takes("talk_first_<n>", "3", "n chunks of prose before the tool call", lambda n: Script(talk=n)),
    _is("tool_wrong_type", "one argument of a wrong but coercible type", Script(shape="wrong_type")),
    _is("tool_missing_required", "the first required argument is missing", Script(shape="missing_required")),
    _is(
        "tool_loose",
        "as tool_missing_required, unless `tool_choice` demands a call",
        Script(shape="missing_required", loose=True),
    ),
    _is(
        "tool_secret",
        "one argument that is a made-up number of a person, and no other",
        Script(shape="secret"),
    ),
    _is("tool_cut", "cut inside an argument delta", Script(break_at=2, break_how="half")),
    # JSON answers, whether or not one was asked for
    _is("json_fenced", "the right JSON in a code fence", Script(shape="json_fenced")),
    _is("json_invalid", "prose instead of JSON", Script(shape="json_invalid")),
    _is("json_wrong_schema", "JSON that breaks the schema", Script(shape="json_wrong_schema")),
    _is("thinks", "thinks aloud and signs it, where it is asked to (Messages alone)", Script(thinks=True)),
    _is("vectors_missing", "one vector less than inputs", Script()),
    _is("vectors_uneven", "vectors of different lengths", Script()),
    _is("vectors_nan", "a vector that holds no number", Script()),
    _is("vectors_float", "vectors as lists of numbers, whatever was asked for", Script()),
    _is("json_missing_brace", "the right JSON without its last brace", Script(shape="json_missing_brace")),
)


def find(model: str) -> Script:
    """The script `model` asks for."""
    script = Script()
    for part in model.rpartition("/")[2].split("+"):
        script = script.plus(_find_one(part))
    return script


def _find_one(name: str) -> Script:
    found = next((script for fault in FAULTS if (script := fault.match(name)) is not None), None)
    if found is not None:
        return found
    # A typo that quietly answered `ok` would turn the test around it into a test of nothing.
    return Script(trouble=Trouble(404, "not_found")) if _misspelt(name) else Script()


def _misspelt(name: str) -> bool:
    return any(
        name.startswith(fault.stem + "_")
        or ("_" in fault.stem and name.startswith(fault.stem))
        or name == fault.stem
        for fault in FAULTS
    )
