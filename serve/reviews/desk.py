"""Where held answers wait: kept before anybody is told, decided once, told to the journal.

Knows who may do what, and keeps the event loop free of the database. Knows no HTTP.
"""

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import replace

from pydantic import JsonValue
from sqlalchemy.exc import SQLAlchemyError

from serve import state
from serve.config import Config
from serve.decision import Reason
from serve.errors import (
    KeyForbids,
    ReviewDecided,
    ReviewGone,
    ReviewsUnavailable,
    UnknownReview,
)
from serve.keys.rights import Key
from serve.reviews.journal import Journal
from serve.reviews.review import Review, Status, Verdict
from serve.reviews.store import ReviewStore
from serve.router import Decided
from serve.shelf import Shelf

log = logging.getLogger("pointsman.review")

SWEEP_S = 30.0


class ReviewDesk:
    """The reviews of one router process. Opens the database when it is first needed."""

    def __init__(self, config: Config, journal: Journal, clock: Callable[[], float] = time.time) -> None:
        self._config, self._journal = config, journal
        self._shelf = Shelf("reviews", config.state.resolve(), self._opened, ReviewsUnavailable, clock)

    async def require_room(self, key: Key) -> None:
        """Raises TooManyReviews, ReviewsFull or ReviewsUnavailable: better before a lane has worked than after."""
        await self._shelf.run(lambda store, now: store.require_room(key.id, now))

    async def hold(self, decided: Decided, why: Reason, lane: str, answer: str) -> Review:
        """Keep an answer, a chat completion as JSON, until somebody decides.

        Raises TooManyReviews, ReviewsFull or ReviewsUnavailable; the answer must not be given then.
        """

        def keep(store: ReviewStore, now: int) -> Review:
            review = Review(
                id=f"rev_{uuid.uuid4().hex}",
                decision_id=decided.decision_id,
                key_id=decided.visit.key.id,
                key_name=decided.visit.key.name,
                level=decided.decision.permit.level.label,
                task=decided.signals.task.task,
                lane=lane,
                rule=why.code,
                because=why.text,
                unseen=len(decided.view.opaque),
                created_at=now,
                expires_at=now + self._config.reviews.expire_s,
                prompt=decided.view.prompt,
                answer=answer,
            )
            store.add(review, now)
            self._tell("review_held", review)
            return review

        return await self._shelf.run(keep)

    async def look(self, review_id: str, key: Key) -> Review:
        """One review. Raises UnknownReview where there is none that this key may know of, ReviewsUnavailable."""
        review = await self._shelf.run(lambda store, now: store.find(review_id, now))
        if review is None or not review.may_look(key):
            raise UnknownReview("There is no such review, or it is not this key's")
        return review

    async def listed(self, status: Status, limit: int, key: Key) -> list[Review]:
        """The oldest reviews with this status, without content. Raises KeyForbids, ReviewsUnavailable."""
        if not key.rights.reviewer:
            raise KeyForbids("Only a key with the scope reviewer may list reviews")
        return await self._shelf.run(lambda store, now: store.listed(status, limit, now))

    async def decide(self, review_id: str, verdict: Verdict, key: Key, note: str) -> Review:
        """Settle one review.

        Raises UnknownReview, KeyForbids, ReviewDecided when another was faster, ReviewGone, ReviewsUnavailable.
        """
        review = await self.look(review_id, key)
        if not key.rights.reviewer:
            raise KeyForbids("Only a key with the scope reviewer may decide")
        if not review.may_decide(key):
            raise KeyForbids("Nobody decides on an answer of their own: use another reviewer's key")

        def settle(store: ReviewStore, now: int) -> bool:
            won = store.decide(review_id, verdict, key.id, note, now)
            if won:
                self._tell(f"review_{verdict}", replace(review, reviewer=key.id))
            return won

        won = await self._shelf.run(settle)
        settled = await self.look(review_id, key)
        if not won:
            raise _too_late(settled)
        return settled

    async def waiting(self) -> int:
        """How many answers wait. Raises ReviewsUnavailable."""
        if not self._config.policy.review and not await self._shelf.may_hold_some():
            return 0
        return await self._shelf.run(lambda store, now: store.waiting(now))

    async def sweep(self) -> None:
        """Delete what is over, and tell the journal what expired. Raises ReviewsUnavailable."""

        def clean(store: ReviewStore, now: int) -> None:
            for review in store.sweep(now):
                self._tell("review_expired", review)

        await self._shelf.run(clean)

    async def keep_clean(self, in_use: Callable[[], bool]) -> None:
        """Sweep again and again; `in_use` tells whether answers may be held at all."""
        limits = self._config.reviews
        every_s = min(SWEEP_S, limits.expire_s / 2, limits.keep_s / 2)

        async def sweep() -> None:
            if in_use() or await self._shelf.may_hold_some():
                await self.sweep()

        await self._shelf.keep_clean(every_s, sweep)

    async def close(self) -> None:
        """Wait for what is being written, and close the database."""
        await self._shelf.close()

    def _opened(self) -> ReviewStore:
        engine = state.open_database(self._config.state.resolve())
        try:
            return ReviewStore(engine, self._config.reviews)
        except SQLAlchemyError:
            engine.dispose()
            raise

    def _tell(self, kind: str, review: Review) -> None:
        fields: dict[str, JsonValue] = {
            "review": review.id,
            "key": review.key_id,
            "class": review.level,
            "lane": review.lane,
            "rule": review.rule,
            "reviewer": review.reviewer,
        }
        self._journal.note(kind, review.decision_id, fields)


def _too_late(review: Review) -> ReviewDecided | ReviewGone:
    if review.status == "expired":
        return ReviewGone("Nobody decided in time: the answer is deleted")
    return ReviewDecided(review.status)
