"""The OpenAPI document of the HTTP surface: what may be sent, what comes back, and every status in use.

Knows shapes and statuses. Does not know how a request is answered; tests hold the two together.
"""

from typing import Literal

from pydantic import BaseModel, Field, JsonValue
from pydantic.json_schema import models_json_schema

from serve import __version__, checks, wish
from serve.dashboard.routes import HOURS
from serve.dashboard.shown import Dashboard
from serve.errors import (
    AuditUnavailable,
    BodyTimeout,
    BodyTooLarge,
    DashboardUnavailable,
    DeadlineExceeded,
    EgressDenied,
    FeedbackSettled,
    HeadersTooLarge,
    HttpError,
    InvalidRequest,
    KeyForbids,
    KeysUnavailable,
    LanesFailed,
    NoLaneAvailable,
    OutcomesUnavailable,
    RateLimited,
    ResponsesUnavailable,
    ReviewDecided,
    ReviewGone,
    ReviewRejected,
    ReviewsFull,
    ReviewsUnavailable,
    ReviewUndecided,
    TooManyReviews,
    Unauthorized,
    UnknownDecision,
    UnknownModel,
    UnknownResponse,
    UnknownReview,
    UnsupportedMedia,
)
from serve.outcomes import span
from serve.outcomes.said import FeedbackBody, FeedbackTaken
from serve.reviews.review import STATUSES
from serve.reviews.routes import MOST_LISTED
from serve.reviews.wire import ApprovalBody, RejectionBody, ReviewList, ReviewShown
from serve.surfaces import messages
from serve.surfaces.completions import CompletionRequest, TextCompletion
from serve.surfaces.messages_answer import MessageAnswer
from serve.surfaces.messages_error import MessagesErrorBody
from serve.surfaces.messages_request import CountRequest, MessagesRequest
from serve.surfaces.responses import items
from serve.surfaces.responses.routes import Deleted
from serve.surfaces.responses.told import ResponseShown
from serve.surfaces.responses.wire import ResponseRequest
from serve.wire.openai_answer import ChatChunk, ChatCompletion
from serve.wire.openai_chat import ChatRequest
from serve.wire.openai_embeddings import EmbeddingList, EmbeddingRequest

Schema = dict[str, JsonValue]

READS = (HeadersTooLarge, HttpError)
GUARDED = (Unauthorized, KeyForbids, RateLimited, KeysUnavailable, *READS)
DECIDES = (
    InvalidRequest,
    EgressDenied,
    UnknownModel,
    BodyTimeout,
    BodyTooLarge,
    UnsupportedMedia,
    *GUARDED,
)
DECIDES_OR_FAILS = (*DECIDES, NoLaneAvailable)
ANSWERS = (
    *DECIDES,
    NoLaneAvailable,
    AuditUnavailable,
    LanesFailed,
    DeadlineExceeded,
    TooManyReviews,
    ReviewsUnavailable,
    ReviewsFull,
)
EMBEDS = (*DECIDES, NoLaneAvailable, AuditUnavailable, LanesFailed, DeadlineExceeded)
RESPONDS = (*ANSWERS, ResponsesUnavailable)
KEPT = (InvalidRequest, *GUARDED, UnknownResponse, ResponsesUnavailable)
LISTS = (InvalidRequest, *GUARDED, ReviewsUnavailable)
LOOKS = (*LISTS, UnknownReview, ReviewUndecided, ReviewRejected, ReviewGone)
SETTLES = (*LISTS, UnknownReview, ReviewDecided, ReviewGone, BodyTimeout, BodyTooLarge, UnsupportedMedia)
COUNTS = (InvalidRequest, *GUARDED, OutcomesUnavailable)
SAYS = (*COUNTS, UnknownDecision, FeedbackSettled, BodyTimeout, BodyTooLarge, UnsupportedMedia)


class ErrorDetail(BaseModel):
    """`code` is stable; `param` names the field or header at fault."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorBody(BaseModel):
    """Every error, in OpenAI's shape."""

    error: ErrorDetail


class ModelCard(BaseModel):
    """One name that `model` may have."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    """`auto`, every lane, and every cloud model by its own name."""

    object: Literal["list"]
    data: list[ModelCard]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"]
    version: str


class LaneHealth(BaseModel):
    """One lane, as this process sees it."""

    state: Literal["ready", "full", "down", "off"]
    note: str | None
    kind: str
    location: str
    in_flight: int
    predicted_wait_s: float = Field(
        description="seconds in this lane's queue, guessed from what it has to do"
    )
    overflows: bool = Field(description="requests went past it a short while ago")
    spilled: int = Field(description="requests that went past it since the process began")
    spills_per_s: float
    ejections: int
    ejected_until_s: float = Field(description="seconds until it is tried in its turn again")


class AuditHealth(BaseModel):
    """Whether decisions can be written down; while they cannot, nothing leaves the premises."""

    state: Literal["ok", "starting", "failing", "off"]
    why: str | None
    lost: int = Field(description="records that were not written because too many waited")
    failures: int = Field(description="writes that failed")


class OutcomesHealth(BaseModel):
    """Whether decisions are tracked; while they cannot be, answers go on."""

    state: Literal["up", "idle", "down", "off"]
    note: str | None
    lost: int = Field(description="decisions that were not kept because too many waited")


class Readiness(BaseModel):
    """Whether any lane can answer."""

    status: Literal["ready", "unavailable"]
    lanes: dict[str, LaneHealth]
    policy_version: str
    keys: Literal["open", "required"]
    reload_refused: str | None = Field(description="why the last change of the configuration was refused")
    audit: AuditHealth
    outcomes: OutcomesHealth


class RouteReason(BaseModel):
    """A stable code and the sentence that explains it."""

    code: str
    text: str


class RouteExclusion(RouteReason):
    """A lane that may not or cannot answer."""

    lane: str


class RoutePreamble(BaseModel):
    """A preamble as it is configured."""

    name: str
    version: str


class RouteAnswer(BaseModel):
    """A decision that was not run."""

    decision_id: str
    lane: str
    chain: list[str] = Field(min_length=1)
    reason: str
    reasons: list[RouteReason]
    review: RouteReason | None = Field(description="why the answer would wait for a reviewer")
    preambles: dict[str, RoutePreamble] = Field(description="what lanes would be told first, by lane")
    excluded: list[RouteExclusion]
    permit: dict[str, JsonValue]
    signals: dict[str, JsonValue]
    policy_version: str
    explanation: str


MODELS = (
    checks.Checks,
    ChatRequest,
    ChatCompletion,
    ChatChunk,
    ResponseRequest,
    ResponseShown,
    Deleted,
    items.InputItems,
    CompletionRequest,
    TextCompletion,
    EmbeddingRequest,
    EmbeddingList,
    ErrorBody,
    ModelList,
    Health,
    Readiness,
    RouteAnswer,
    ApprovalBody,
    RejectionBody,
    ReviewShown,
    ReviewList,
    MessagesRequest,
    MessageAnswer,
    MessagesErrorBody,
    CountRequest,
    messages.TokenCount,
    FeedbackBody,
    FeedbackTaken,
    Dashboard,
)


def document() -> Schema:
    """OpenAPI 3.2 (it can describe events), built from the very models that parse and answer."""
    _, shared = models_json_schema(
        [(model, "validation") for model in MODELS], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.2.0",
        "info": {"title": "Pointsman", "version": __version__, "description": _ABOUT},
        "paths": {
            "/v1/chat/completions": {"post": _post("chat", "Answer a chat request", _chat(), ANSWERS)},
            **_messages(),
            **_others(),
            "/v1/route": {
                "post": _post(
                    "route", "Decide without answering", _ok(RouteAnswer, "The decision"), DECIDES_OR_FAILS
                )
            },
            "/v1/models": {
                "get": _get("models", "Names that `model` may have", _ok(ModelList, "The names"), GUARDED)
            },
            **_reviews(),
            **_outcomes(),
            "/metrics": {
                "get": _get(
                    "metrics", "The numbers of all Routers, for Prometheus", {"200": _METRICS}, GUARDED
                )
            },
            "/dashboard": {"get": _get("dashboard_page", "A page that shows the numbers", {"200": _PAGE})},
            "/v1/dashboard": {
                "get": _get("dashboard", "The numbers of that page", _ok(Dashboard, "They are"), DASHBOARD)
                | {"parameters": [_query("hours", {"type": "integer", "enum": [*HOURS], "default": 24})]}
            },
            "/healthz": {"get": _get("healthz", "Is the process up", _ok(Health, "It is"))},
            "/readyz": {"get": _get("readyz", "Can any lane answer", _ready())},
        },
        "components": {"schemas": shared["$defs"]},
    }


_ABOUT = (
    "OpenAI- and Anthropic-compatible: one address, many lanes. Fields of a request that are not listed are never "
    "forwarded: dropped, or refused where the schema says so. Callers show a key (`Authorization: Bearer` or "
    "`x-api-key`) unless `keys.mode` is open. Limits of size, depth and time are in docs/limits.md."
)

DASHBOARD = (InvalidRequest, DashboardUnavailable, *GUARDED)
_PAGE: Schema = {
    "description": "The page; it holds no data, and asks for what it shows with its reader's key",
    "content": {"text/html": {"schema": {"type": "string"}}},
}
_METRICS: Schema = {
    "description": "The text format of Prometheus",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


def _others() -> Schema:
    """The other APIs of OpenAI's that answer on every lane, and the responses that are kept."""
    event: Schema = {"type": "object", "required": ["data"], "properties": {"data": {"type": "string"}}}
    stream: Schema = {"text/event-stream": {"itemSchema": event}}
    held = _ok(ReviewShown, "The answer waits for a reviewer; `Location` says where, also for a stream")[
        "200"
    ]

    def answers(model: type[BaseModel]) -> Schema:
        content: Schema = {"application/json": {"schema": _ref(model)}, **stream}
        about = "The answer; a stream where `stream` is true"
        return {"200": {"description": about, "content": content}, "202": held}

    name: Schema = {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
    look = _get("response", "A kept response", _ok(ResponseShown, "The response"), KEPT)
    gone = _get("delete_response", "Delete a kept response", _ok(Deleted, "It is gone"), KEPT)
    page = [
        _query("limit", {"type": "integer", "minimum": 1, "maximum": items.MOST, "default": items.USUAL}),
        _query("order", _enum(*items.ORDERS)),
        _query("after", {"type": "string"}),
    ]
    asked = _get("input_items", "What a kept response was asked with", _ok(items.InputItems, "A page"), KEPT)
    cancel = _get("cancel_response", "Refused: no response runs in the background", {}, KEPT)
    ask = _post(
        "responses", "Answer a request for a response", answers(ResponseShown), RESPONDS, ResponseRequest
    )
    complete = _post(
        "completions", "Answer a bare prompt", answers(TextCompletion), ANSWERS, CompletionRequest
    )
    embed = _post(
        "embeddings", "Turn texts into vectors", _ok(EmbeddingList, "The vectors"), EMBEDS, EmbeddingRequest
    )
    return {
        "/v1/embeddings": {"post": embed},
        "/v1/responses": {"post": ask},
        "/v1/responses/{id}": {"get": look | {"parameters": [name]}, "delete": gone | {"parameters": [name]}},
        "/v1/responses/{id}/input_items": {"get": asked | {"parameters": [name, *page]}},
        "/v1/responses/{id}/cancel": {"post": cancel | {"parameters": [name]}},
        "/v1/completions": {"post": complete},
    }


def _reviews() -> Schema:
    """Answers that are held: who waits, and what becomes of them."""
    name: Schema = {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
    limit: Schema = {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": 100}
    one = _ok(ReviewShown, "The review")
    both: Schema = {"anyOf": [_ref(ReviewShown), _ref(ChatCompletion)]}
    either: Schema = {
        "description": "The review; with `as=completion` the approved answer alone",
        "content": {"application/json": {"schema": both}},
    }

    def settle(verb: str, body: type[BaseModel]) -> Schema:
        return {
            "operationId": f"{verb}_review",
            "summary": f"Let a reviewer {verb} an answer that waits",
            "parameters": [name],
            "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(body)}}},
            "responses": one | _errors(SETTLES),
        }

    page: Schema = {
        "description": "The page; it holds no data, and asks for what it shows with its reader's key",
        "content": {"text/html": {"schema": {"type": "string"}}},
    }
    return {
        "/reviews": {"get": _get("reviews_page", "A page for reviewers", {"200": page})},
        "/v1/reviews": {
            "get": _get("reviews", "Reviews, oldest first, without content", _ok(ReviewList, "Some"), LISTS)
            | {"parameters": [_query("status", _enum(*STATUSES)), _query("limit", limit)]}
        },
        "/v1/reviews/{id}": {
            "get": _get("review", "One review, and its answer once approved", {"200": either}, LOOKS)
            | {"parameters": [name, _query("as", _enum("review", "completion"))]}
        },
        "/v1/reviews/{id}/approve": {"post": settle("approve", ApprovalBody)},
        "/v1/reviews/{id}/reject": {"post": settle("reject", RejectionBody)},
    }


def _outcomes() -> Schema:
    """What callers say of answers, and what all of it comes to."""
    body: Schema = {"required": True, "content": {"application/json": {"schema": _ref(FeedbackBody)}}}
    say: Schema = {
        "operationId": "feedback",
        "summary": "Say whether an answer was good",
        "requestBody": body,
        "responses": _ok(FeedbackTaken, "It counts") | _errors(SAYS),
    }
    found: Schema = {
        "description": "The report as JSON; docs/economics.md describes its fields",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    since = _query("since", {"type": "string", "pattern": "^[1-9][0-9]{0,4}[mhdw]$", "default": span.DEFAULT})
    stats = _get("stats", "Costs, savings and cost per successful task", {"200": found}, COUNTS)
    return {"/v1/feedback": {"post": say}, "/v1/stats": {"get": stats | {"parameters": [since]}}}


def _enum(*values: JsonValue) -> Schema:
    return {"type": "string", "enum": [*values], "default": values[0]}


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _post(
    name: str,
    summary: str,
    found: Schema,
    errors: tuple[type[HttpError], ...],
    body: type[BaseModel] = ChatRequest,
    shape: type[BaseModel] = ErrorBody,
) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [
            _header(
                "x-pointsman-sensitivity",
                ["public", "internal", "confidential"],
                "The lowest class of the data",
            ),
            _header("x-pointsman-prefer", ["cloud", "tier2", "tier3"], "Lanes to try first"),
            _header("x-pointsman-stakes", [*wish.STAKES], "What a wrong answer costs; normal if not given"),
            _header("x-pointsman-latency", [*wish.LATENCIES], "Who waits; interactive if not given"),
            _CHECKS,
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(body)}}},
        "responses": found | _errors(errors, shape),
    }


_CHECKS: Schema = {
    "name": checks.HEADER,
    "in": "header",
    "required": False,
    "description": "What the answer must be like beyond its shape, as JSON (docs/tools.md)",
    "schema": {
        "type": "string",
        "maxLength": checks.MOST_CHARS,
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": "#/components/schemas/Checks"},
    },
}


def _get(name: str, summary: str, found: Schema, errors: tuple[type[HttpError], ...] = READS) -> Schema:
    return {"operationId": name, "summary": summary, "responses": found | _errors(errors)}


def _header(name: str, values: list[JsonValue], about: str) -> Schema:
    schema: Schema = {"type": "string", "enum": values}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": about}


def _ok(model: type[BaseModel], about: str) -> Schema:
    return {"200": {"description": about, "content": {"application/json": {"schema": _ref(model)}}}}


def _chat() -> Schema:
    chunk: Schema = {
        "type": "string",
        "description": "a ChatChunk, or an ErrorBody where the answer broke off",
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [_ref(ChatChunk), _ref(ErrorBody)]},
    }
    data: Schema = {"anyOf": [{"const": "[DONE]"}, chunk]}
    event: Schema = {"type": "object", "required": ["data"], "properties": {"data": data}}
    whole: Schema = {"schema": _ref(ChatCompletion)}
    content: Schema = {"application/json": whole, "text/event-stream": {"itemSchema": event}}
    held = _ok(ReviewShown, "The answer waits for a reviewer; `Location` says where, also for a stream")[
        "200"
    ]
    return {
        "200": {"description": "The answer; a stream where `stream` is true", "content": content},
        "202": held,
    }


def _messages() -> Schema:
    """Anthropic's API: the same lanes, other shapes."""
    data: Schema = {
        "type": "string",
        "description": "an event of Anthropic's API; the last one is message_stop or error",
        "contentMediaType": "application/json",
    }
    kinds = ("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
             "message_stop", "ping", "error")  # fmt: skip
    event: Schema = {
        "type": "object",
        "required": ["event", "data"],
        "properties": {"event": {"type": "string", "enum": [*kinds]}, "data": data},
    }
    whole: Schema = {"schema": _ref(MessageAnswer)}
    content: Schema = {"application/json": whole, "text/event-stream": {"itemSchema": event}}
    held = _ok(ReviewShown, "The answer waits for a reviewer, as a chat completion; `Location` says where")
    found: Schema = {
        "200": {"description": "The answer; a stream where `stream` is true", "content": content},
        "202": held["200"],
    }
    answer = _post(
        "messages", "Answer a Messages request", found, ANSWERS, MessagesRequest, MessagesErrorBody
    )
    counted = _ok(messages.TokenCount, "How many tokens go in")
    count = _post(
        "count_tokens", "Count without answering", counted, DECIDES, CountRequest, MessagesErrorBody
    )
    return {
        messages.Messages.path: {"post": answer},
        messages.COUNT_PATH: {"post": count | {"parameters": []}},
    }


def _ready() -> Schema:
    unavailable = _ok(Readiness, "No lane can answer now")["200"]
    return _ok(Readiness, "At least one lane can answer") | {"503": unavailable}


def _errors(kinds: tuple[type[HttpError], ...], shape: type[BaseModel] = ErrorBody) -> Schema:
    """One entry per status, described by the first line of the errors that have it."""
    about: dict[int, list[str]] = {}
    for kind in kinds:
        about.setdefault(kind.status, []).append((kind.__doc__ or "").partition("\n")[0])
    content: Schema = {"application/json": {"schema": _ref(shape)}}
    return {
        str(status): {"description": " ".join(lines), "content": content} for status, lines in about.items()
    }


def _ref(model: type[BaseModel]) -> Schema:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
