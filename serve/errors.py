"""Everything that can go wrong, with its HTTP status, stable code and the words a client may read.

PointsmanError
├── ConfigError                       refused at start, never seen by a client
├── KeyStoreError                     keys on disk: KeysUnreadable · UnknownKey · KeyNameTaken
├── ClientError                       the request's own fault
│   ├── InvalidRequest 400 · BodyTooLarge 413 · BodyTimeout 408 · UnsupportedMedia 415 · HeadersTooLarge 431
│   ├── UnknownModel 404 · NotFound 404 · MethodNotAllowed 405
│   ├── Unauthorized 401 · KeyForbids 403 · RateLimited 429 · BudgetExceeded 429 · InFlight 409
│   ├── EgressDenied 403 · NoLaneAble 400 · RequestRejected 400
│   ├── UnknownResponse 404 · ThreadUnsupported 400
│   └── UnknownReview 404 · ReviewUndecided 409 · ReviewDecided 409 · ReviewRejected 403 · ReviewGone 410 ·
│       TooManyReviews 429
├── NoLaneAvailable 503               nobody permitted can answer now (── LedgerUnavailable)
├── KeysUnavailable 503               nobody can be let in while the keys cannot be read
├── AuditUnavailable 503              only lanes off the premises may answer, and the audit log cannot be written
├── ResponsesUnavailable 503          what a response continues cannot be read
├── ReviewsUnavailable 503 ── ReviewsFull   an answer that a person must see cannot be kept, so it is not given
├── DashboardUnavailable 503          the database of the dashboard's numbers cannot be read
├── LanesFailed 502/504               every permitted lane was tried
└── LaneError                         one lane, one attempt: `serve.lane_errors`

Messages hold no prompt text and no secret: they are sent to clients and written to logs.
"""

from typing import ClassVar


class PointsmanError(Exception):
    """Root of every error that is ours."""


class ConfigError(PointsmanError):
    """The configuration is wrong; the message names file, field and fault."""


class KeyStoreError(PointsmanError):
    """A key could not be read, found or kept; the message says where and why."""


class KeysUnreadable(KeyStoreError):
    """The database or file of keys cannot be used."""


class UnknownKey(KeyStoreError):
    """Nobody has this name or id."""


class KeyNameTaken(KeyStoreError):
    """Another key that works has this name."""


class HttpError(PointsmanError):
    """An error with an HTTP answer in OpenAI's shape."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "server_error"
    code: str = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or type(self).code
        self.retry_after_s: int | None = None
        self.headers: dict[str, str] = {}
        self.tried: tuple[tuple[str, str, float], ...] = ()
        """Lane, outcome and seconds of each attempt before it."""

    def body(self) -> dict[str, dict[str, str | None]]:
        """OpenAI's error body."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


class ClientError(HttpError):
    """The request itself is at fault; sending it again unchanged will not help."""

    status = 400
    kind = "invalid_request_error"


class InvalidRequest(ClientError):
    """The body is not a chat request; `param` names the field."""

    code = "invalid_request"


class NoLaneAble(ClientError):
    """No configured lane has the context or capability the request needs."""

    code = "no_lane_able"


class RequestRejected(ClientError):
    """Every permitted lane understood the request and refused it."""

    code = "request_rejected"


class EgressDenied(ClientError):
    """The request may not leave, and the only lane it asks for is outside."""

    status = 403
    kind = "permission_error"
    code = "egress_denied"


class UnknownModel(ClientError):
    """`model` is neither auto, nor a lane, nor a cloud model of the configuration."""

    status = 404
    code = "model_not_found"


class NotFound(ClientError):
    """No such path."""

    status = 404
    code = "not_found"


class MethodNotAllowed(ClientError):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class BodyTimeout(ClientError):
    """The body did not arrive in time."""

    status = 408
    code = "body_timeout"


class BodyTooLarge(ClientError):
    """The body is over the limit."""

    status = 413
    code = "body_too_large"


class HeadersTooLarge(ClientError):
    """Too many headers, or too many bytes of them."""

    status = 431
    code = "headers_too_large"


class UnsupportedMedia(ClientError):
    """Not JSON, or compressed."""

    status = 415
    code = "unsupported_media_type"


class Unauthorized(ClientError):
    """No key, or none that works. The same words for every cause: they must not say which."""

    status = 401
    code = "invalid_api_key"

    def __init__(self) -> None:
        super().__init__(
            "Incorrect or missing API key: send `Authorization: Bearer pm-...`, made by `pointsman keys create`"
        )
        self.headers = {"www-authenticate": "Bearer"}


class KeyForbids(ClientError):
    """The key is good, but its rights do not reach as far as the request."""

    status = 403
    kind = "permission_error"
    code = "key_forbids"


class RateLimited(ClientError):
    """The key has used what it may use; `retry_after_s` says when there is room, None that there never is."""

    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after_s: int | None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        if retry_after_s is None:
            self.headers = {"x-should-retry": "false"}  # the SDKs would try a 429 again


class BudgetExceeded(ClientError):
    """No money is left for the lanes that cost some, and no other may answer. Trying again does not help."""

    status = 429
    kind = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers = {"x-should-retry": "false"}  # the SDKs would try a 429 again


class InFlight(ClientError):
    """A request with the same `Idempotency-Key` is being answered."""

    status = 409
    code = "idempotency_key_in_use"

    def __init__(self) -> None:
        super().__init__("A request with this Idempotency-Key is being answered: wait until it has ended")
        self.retry_after_s = 1


class KeysUnavailable(HttpError):
    """The keys cannot be read, so nobody can be let in."""

    status = 503
    kind = "service_unavailable"
    code = "keys_unavailable"

    def __init__(self) -> None:
        super().__init__("The keys cannot be read just now; the log says why")
        self.retry_after_s = 2


class UnknownResponse(ClientError):
    """No such response, or not one of this key, or it was not kept: the same words for all."""

    status = 404
    code = "response_not_found"


class ThreadUnsupported(ClientError):
    """A Messages request wants its conversation kept on the server: the client has to send the whole of it."""

    code = "thread_unsupported"

    def __init__(self) -> None:
        super().__init__(
            "thread: no conversation is kept here: send all of it in messages, without thread", param="thread"
        )


class ResponsesUnavailable(HttpError):
    """The database of kept responses cannot be used."""

    status = 503
    kind = "service_unavailable"
    code = "responses_unavailable"

    def __init__(self) -> None:
        super().__init__("Kept responses cannot be read just now; the log says why")
        self.retry_after_s = 5


class UnknownReview(ClientError):
    """No such review, or not one of this key: the same words for both."""

    status = 404
    code = "review_not_found"


class ReviewUndecided(ClientError):
    """Nobody has approved the answer yet; asking again later may help."""

    status = 409
    code = "review_pending"

    def __init__(self) -> None:
        super().__init__("The answer waits for a reviewer")
        self.retry_after_s = 5  # the SDKs try a 409 again


class ReviewDecided(ClientError):
    """Somebody else has approved or rejected it: a review is decided once."""

    status = 409
    code = "review_decided"

    def __init__(self, status: str) -> None:
        super().__init__(f"The review was {status} before")
        self.headers = {"x-should-retry": "false"}


class ReviewRejected(ClientError):
    """A reviewer has rejected the answer: nobody gets it."""

    status = 403
    kind = "permission_error"
    code = "review_rejected"


class ReviewGone(ClientError):
    """Nobody decided in time, or the answer was kept for its time and deleted."""

    status = 410
    code = "review_expired"


class TooManyReviews(ClientError):
    """As many answers of this key wait for a reviewer as may wait."""

    status = 429
    kind = "rate_limit_error"
    code = "too_many_reviews"

    def __init__(self, most: int) -> None:
        super().__init__(f"{most:,} answers of this key wait for a reviewer already: no more may")
        self.headers = {"x-should-retry": "false"}


class ReviewsUnavailable(HttpError):
    """The database of reviews cannot be used, so no held answer can be given."""

    status = 503
    kind = "service_unavailable"
    code = "reviews_unavailable"

    def __init__(self, message: str = "Reviews cannot be kept or read just now; the log says why") -> None:
        super().__init__(message)
        self.retry_after_s = 5


class ReviewsFull(ReviewsUnavailable):
    """As many answers wait for a reviewer as may wait."""

    code = "reviews_full"

    def __init__(self, most: int) -> None:
        super().__init__(f"{most:,} answers wait for a reviewer already: no more may")
        self.retry_after_s = 60


class UnknownDecision(ClientError):
    """No such decision, or not one of this key: the same words for both."""

    status = 404
    code = "decision_not_found"

    def __init__(self) -> None:
        super().__init__(
            "There is no such decision, or it is not this key's; an answer has its id in x-pointsman-decision-id",
            param="decision_id",
        )


class FeedbackSettled(ClientError):
    """A reviewer has said what the answer was: only a reviewer may say something else."""

    status = 409
    code = "feedback_settled"

    def __init__(self) -> None:
        super().__init__("A reviewer has judged this answer already: only a reviewer may change that")
        self.headers = {"x-should-retry": "false"}


class OutcomesUnavailable(HttpError):
    """What became of decisions cannot be written or read now; answers go on."""

    status = 503
    kind = "service_unavailable"
    code = "outcomes_unavailable"

    def __init__(self, why: str) -> None:
        super().__init__(f"Outcomes cannot be written or read just now: {why}")
        self.retry_after_s = 5


class DashboardUnavailable(HttpError):
    """The state database cannot be read, so there is nothing to show."""

    status = 503
    kind = "service_unavailable"
    code = "dashboard_unavailable"

    def __init__(self) -> None:
        super().__init__("The numbers cannot be read just now; the log says why")
        self.retry_after_s = 5


class NoLaneAvailable(HttpError):
    """Every permitted lane is off, down or full; trying again later may help."""

    status = 503
    kind = "service_unavailable"
    code = "no_lane_available"

    def __init__(self, message: str, *, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AuditUnavailable(HttpError):
    """Nothing may leave the premises without a record of it, and no lane on them may answer."""

    status = 503
    kind = "service_unavailable"
    code = "audit_unavailable"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The audit log cannot be written ({why}): nothing may leave the premises, and no lane on them can "
            "answer this request"
        )
        self.retry_after_s = 5


class LedgerUnavailable(NoLaneAvailable):
    """What an answer costs cannot be written down now, and only lanes that cost money may answer."""

    code = "ledger_unavailable"


class LanesFailed(HttpError):
    """Every permitted lane was tried and none gave a usable answer."""

    status = 502
    kind = "upstream_error"
    code = "lanes_failed"


class DeadlineExceeded(LanesFailed):
    """Time ran out before any permitted lane answered."""

    status = 504
    code = "deadline_exceeded"
