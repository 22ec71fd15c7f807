"""What one caller may spend on one request: read from its key and its headers, shown as a signal, opened as a bill."""

from collections.abc import Mapping
from dataclasses import replace

from serve.errors import InvalidRequest
from serve.keys.rights import Key
from serve.ledger import money
from serve.ledger.bill import Bill
from serve.ledger.desk import Desk
from serve.ledger.estimate import Size
from serve.ledger.terms import Payer, Terms
from serve.request import RequestView
from serve.signals import budget
from serve.signals.readings import Signals
from serve.wire.openai_chat import ChatRequest

MOST_HEADER = "x-pointsman-max-cost-usd"
SESSION_HEADER = "x-pointsman-session"
HEADERS = (MOST_HEADER, SESSION_HEADER)
LONGEST_SESSION = 128


class Purse:
    """Raises InvalidRequest for headers that mean nothing."""

    def __init__(self, desk: Desk, terms: Terms, key: Key, headers: Mapping[str, str]) -> None:
        self._desk, self._terms = desk, terms
        self._payer = Payer(key, _session(headers.get(SESSION_HEADER)))
        self._cap = lower(terms.request_cap, headers.get(MOST_HEADER))

    @property
    def payer(self) -> Payer:
        """Whose money it is."""
        return self._payer

    def seen(self, signals: Signals, request: ChatRequest, view: RequestView) -> Signals:
        """`signals` with what may still be spent."""
        size = _size(signals, request, view)
        return replace(signals, budget=budget.read(self._desk, self._terms, self._payer, size, self._cap))

    def bill(self, decision_id: str, signals: Signals, request: ChatRequest, view: RequestView) -> Bill:
        """The open bill of the request."""
        size = _size(signals, request, view)
        return Bill(self._desk, self._terms, self._payer, size, decision_id, self._cap)


def _size(signals: Signals, request: ChatRequest, view: RequestView) -> Size:
    tools = bool(view.tool_names)
    return Size(
        signals.context.input_tokens,
        view.output_tokens,
        request.n or 1,
        len(view.opaque),
        tools,
        request.kept,
    )


def _session(header: str | None) -> str | None:
    if header is None:
        return None
    if not 1 <= len(header) <= LONGEST_SESSION:
        raise InvalidRequest(
            f"{SESSION_HEADER} must have 1 to {LONGEST_SESSION} characters", param=SESSION_HEADER
        )
    return header


def lower(cap: int | None, header: str | None) -> int | None:
    """The limit in micro-dollars: a client may lower its own, never raise it. Raises InvalidRequest."""
    if header is None:
        return cap
    try:
        wanted = money.parse(header)
    except ValueError:
        raise InvalidRequest(
            f"{MOST_HEADER} must be an amount of US dollars such as 0.05", param=MOST_HEADER
        ) from None
    return wanted if cap is None else min(cap, wanted)
