"""Which errors a route may answer with."""

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

READS = (HeadersTooLarge, HttpError)

GUARDED = (Unauthorized, KeyForbids, RateLimited, KeysUnavailable, *READS)

NAMED = (UnknownModel, *GUARDED)

DECIDES = (InvalidRequest, EgressDenied, UnknownModel, BodyTimeout, BodyTooLarge, UnsupportedMedia, *GUARDED)

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

DASHBOARD = (InvalidRequest, DashboardUnavailable, *GUARDED)
