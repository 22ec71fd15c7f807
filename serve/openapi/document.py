"""The OpenAPI document of the HTTP surface: what may be sent, what comes back, and every status in use.

Knows shapes and statuses. Does not know how a request is answered; tests hold the two together.
"""

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serve import __version__, checks
from serve.dashboard.routes import HOURS
from serve.dashboard.shown import Dashboard
from serve.openapi.failures import (
    ANSWERS,
    COUNTS,
    DASHBOARD,
    DECIDES,
    DECIDES_OR_FAILS,
    EMBEDS,
    GUARDED,
    KEPT,
    LISTS,
    LOOKS,
    NAMED,
    RESPONDS,
    SAYS,
    SETTLES,
)
from serve.openapi.parts import Schema, enum, failed, get, ok, post, query, ref
from serve.openapi.shapes import ErrorBody, Health, ModelCard, ModelList, Readiness, RouteAnswer
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
    ModelCard,
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
            "/v1/chat/completions": {"post": post("chat", "Answer a chat request", _chat(), ANSWERS)},
            **_messages(),
            **_others(),
            "/v1/route": {
                "post": post(
                    "route", "Decide without answering", ok(RouteAnswer, "The decision"), DECIDES_OR_FAILS
                )
            },
            **_models(),
            **_reviews(),
            **_outcomes(),
            "/metrics": {
                "get": get(
                    "metrics", "The numbers of all Routers, for Prometheus", {"200": _METRICS}, GUARDED
                )
            },
            "/dashboard": {"get": get("dashboard_page", "A page that shows the numbers", {"200": _PAGE})},
            "/v1/dashboard": {
                "get": get("dashboard", "The numbers of that page", ok(Dashboard, "They are"), DASHBOARD)
                | {"parameters": [query("hours", {"type": "integer", "enum": [*HOURS], "default": 24})]}
            },
            "/healthz": {"get": get("healthz", "Is the process up", ok(Health, "It is"))},
            "/readyz": {"get": get("readyz", "Can any lane answer", _ready())},
        },
        "components": {"schemas": shared["$defs"]},
    }


_ABOUT = (
    "OpenAI- and Anthropic-compatible: one address, many lanes. Fields of a request that are not listed are never "
    "forwarded: dropped, or refused where the schema says so. Callers show a key (`Authorization: Bearer` or "
    "`x-api-key`) unless `keys.mode` is open. Limits of size, depth and time are in docs/limits.md."
)

_PAGE: Schema = {
    "description": "The page; it holds no data, and asks for what it shows with its reader's key",
    "content": {"text/html": {"schema": {"type": "string"}}},
}
_METRICS: Schema = {
    "description": "The text format of Prometheus",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


def _models() -> Schema:
    name: Schema = {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "One of the names; a slash in it may be written as it is",
        "schema": {"type": "string", "minLength": 1},
    }
    one = get("model", "One name that `model` may have", ok(ModelCard, "It may"), NAMED)
    return {
        "/v1/models": {
            "get": get("models", "Names that `model` may have", ok(ModelList, "The names"), GUARDED)
        },
        "/v1/models/{id}": {"get": one | {"parameters": [name]}},
    }


def _others() -> Schema:
    """The other APIs of OpenAI's that answer on every lane, and the responses that are kept."""
    event: Schema = {"type": "object", "required": ["data"], "properties": {"data": {"type": "string"}}}
    stream: Schema = {"text/event-stream": {"itemSchema": event}}
    held = ok(ReviewShown, "The answer waits for a reviewer; `Location` says where, also for a stream")["200"]

    def answers(model: type[BaseModel]) -> Schema:
        content: Schema = {"application/json": {"schema": ref(model)}, **stream}
        about = "The answer; a stream where `stream` is true"
        return {"200": {"description": about, "content": content}, "202": held}

    name: Schema = {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
    look = get("response", "A kept response", ok(ResponseShown, "The response"), KEPT)
    gone = get("delete_response", "Delete a kept response", ok(Deleted, "It is gone"), KEPT)
    page = [
        query("limit", {"type": "integer", "minimum": 1, "maximum": items.MOST, "default": items.USUAL}),
        query("order", enum(*items.ORDERS)),
        query("after", {"type": "string"}),
    ]
    asked = get("input_items", "What a kept response was asked with", ok(items.InputItems, "A page"), KEPT)
    cancel = get("cancel_response", "Refused: no response runs in the background", {}, KEPT)
    ask = post(
        "responses", "Answer a request for a response", answers(ResponseShown), RESPONDS, ResponseRequest
    )
    complete = post(
        "completions", "Answer a bare prompt", answers(TextCompletion), ANSWERS, CompletionRequest
    )
    embed = post(
        "embeddings", "Turn texts into vectors", ok(EmbeddingList, "The vectors"), EMBEDS, EmbeddingRequest
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
    one = ok(ReviewShown, "The review")
    both: Schema = {"anyOf": [ref(ReviewShown), ref(ChatCompletion)]}
    either: Schema = {
        "description": "The review; with `as=completion` the approved answer alone",
        "content": {"application/json": {"schema": both}},
    }

    def settle(verb: str, body: type[BaseModel]) -> Schema:
        return {
            "operationId": f"{verb}_review",
            "summary": f"Let a reviewer {verb} an answer that waits",
            "parameters": [name],
            "requestBody": {"required": True, "content": {"application/json": {"schema": ref(body)}}},
            "responses": one | failed(SETTLES),
        }

    page: Schema = {
        "description": "The page; it holds no data, and asks for what it shows with its reader's key",
        "content": {"text/html": {"schema": {"type": "string"}}},
    }
    return {
        "/reviews": {"get": get("reviews_page", "A page for reviewers", {"200": page})},
        "/v1/reviews": {
            "get": get("reviews", "Reviews, oldest first, without content", ok(ReviewList, "Some"), LISTS)
            | {"parameters": [query("status", enum(*STATUSES)), query("limit", limit)]}
        },
        "/v1/reviews/{id}": {
            "get": get("review", "One review, and its answer once approved", {"200": either}, LOOKS)
            | {"parameters": [name, query("as", enum("review", "completion"))]}
        },
        "/v1/reviews/{id}/approve": {"post": settle("approve", ApprovalBody)},
        "/v1/reviews/{id}/reject": {"post": settle("reject", RejectionBody)},
    }


def _outcomes() -> Schema:
    """What callers say of answers, and what all of it comes to."""
    body: Schema = {"required": True, "content": {"application/json": {"schema": ref(FeedbackBody)}}}
    say: Schema = {
        "operationId": "feedback",
        "summary": "Say whether an answer was good",
        "requestBody": body,
        "responses": ok(FeedbackTaken, "It counts") | failed(SAYS),
    }
    found: Schema = {
        "description": "The report as JSON; docs/economics.md describes its fields",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    since = query("since", {"type": "string", "pattern": "^[1-9][0-9]{0,4}[mhdw]$", "default": span.DEFAULT})
    stats = get("stats", "Costs, savings and cost per successful task", {"200": found}, COUNTS)
    return {"/v1/feedback": {"post": say}, "/v1/stats": {"get": stats | {"parameters": [since]}}}


def _chat() -> Schema:
    chunk: Schema = {
        "type": "string",
        "description": "a ChatChunk, or an ErrorBody where the answer broke off",
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [ref(ChatChunk), ref(ErrorBody)]},
    }
    data: Schema = {"anyOf": [{"const": "[DONE]"}, chunk]}
    event: Schema = {"type": "object", "required": ["data"], "properties": {"data": data}}
    whole: Schema = {"schema": ref(ChatCompletion)}
    content: Schema = {"application/json": whole, "text/event-stream": {"itemSchema": event}}
    held = ok(ReviewShown, "The answer waits for a reviewer; `Location` says where, also for a stream")["200"]
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
    whole: Schema = {"schema": ref(MessageAnswer)}
    content: Schema = {"application/json": whole, "text/event-stream": {"itemSchema": event}}
    held = ok(ReviewShown, "The answer waits for a reviewer, as a chat completion; `Location` says where")
    found: Schema = {
        "200": {"description": "The answer; a stream where `stream` is true", "content": content},
        "202": held["200"],
    }
    answer = post("messages", "Answer a Messages request", found, ANSWERS, MessagesRequest, MessagesErrorBody)
    counted = ok(messages.TokenCount, "How many tokens go in")
    count = post("count_tokens", "Count without answering", counted, DECIDES, CountRequest, MessagesErrorBody)
    return {
        messages.Messages.path: {"post": answer},
        messages.COUNT_PATH: {"post": count | {"parameters": []}},
    }


def _ready() -> Schema:
    unavailable = ok(Readiness, "No lane can answer now")["200"]
    return ok(Readiness, "At least one lane can answer") | {"503": unavailable}
