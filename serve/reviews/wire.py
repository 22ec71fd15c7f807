"""What the review routes take and give."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve.errors import InvalidRequest
from serve.keys.rights import Key
from serve.reviews.review import Review, Status
from serve.wire.openai_answer import ChatCompletion

MAX_NOTE = 2000


class ApprovalBody(BaseModel):
    """What a reviewer says when approving, if anything."""

    model_config = ConfigDict(extra="forbid", strict=True)

    note: str = Field("", max_length=MAX_NOTE)


class RejectionBody(BaseModel):
    """Why a reviewer rejects: whoever asked reads it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    note: Annotated[str, Field(min_length=1, max_length=MAX_NOTE)]


class ReviewReason(BaseModel):
    """The rule of `policy.review`, and why it stands there."""

    code: str
    text: str


class HeldContent(BaseModel):
    """What a reviewer reads: the last message of the user, and the answer that nobody has got yet."""

    prompt: str
    answer: ChatCompletion


class ReviewShown(BaseModel):
    """One review. Times are Unix seconds. `answer` is there when it was approved, `held` for who may decide."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    id: str
    object: Literal["review"] = "review"
    status: Status
    decision_id: str
    created_at: int
    expires_at: int
    level: str = Field(alias="class")
    task: str
    lane: str
    reason: ReviewReason
    unseen: int = Field(description="parts of the request that are no text and are not shown")
    may_decide: bool = Field(description="whether this key may approve or reject it")
    asked_by: str | None = Field(None, description="name of the key, for reviewers")
    reviewer: str | None = Field(None, description="id of the key that decided, for reviewers")
    decided_at: int | None = None
    note: str | None = None
    answer: ChatCompletion | None = None
    held: HeldContent | None = None


class ReviewList(BaseModel):
    """Oldest first, without content."""

    object: Literal["list"] = "list"
    data: list[ReviewShown]
    has_more: bool


def shown(review: Review, key: Key) -> ReviewShown:
    """The review as this key may see it: who waits for an answer sees none of it before it is approved."""
    may_decide = review.status == "pending" and review.may_decide(key)
    answer = None if review.answer is None else ChatCompletion.model_validate_json(review.answer)
    held = None
    if may_decide and answer is not None:
        held = HeldContent(prompt=review.prompt or "", answer=answer)
    return ReviewShown(
        id=review.id,
        status=review.status,
        decision_id=review.decision_id,
        created_at=review.created_at,
        expires_at=review.expires_at,
        level=review.level,
        task=review.task,
        lane=review.lane,
        reason=ReviewReason(code=review.rule, text=review.because),
        unseen=review.unseen,
        may_decide=may_decide,
        asked_by=review.key_name if key.rights.reviewer else None,
        reviewer=review.reviewer if key.rights.reviewer else None,
        decided_at=review.decided_at,
        note=review.note,
        answer=answer if review.status == "approved" else None,
        held=held,
    )


def note_of(body: bytes, kind: type[ApprovalBody | RejectionBody]) -> str:
    """The note. Raises InvalidRequest, without the words that were sent."""
    try:
        return kind.model_validate_json(body).note
    except ValidationError as error:
        item = error.errors(include_url=False, include_input=False, include_context=False)[0]
        known = item["loc"] == ("note",)
        raise InvalidRequest(
            f"note: {item['msg']}" if known else f'Send {{"note": "..."}}: {item["msg"]}',
            param="note" if known else None,
        ) from None
