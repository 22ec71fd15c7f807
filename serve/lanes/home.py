"""Which replica of an engine is asked first: the home of the conversation, whose prefix it has in its cache.

Serve's own choice takes the less busy of two replicas. This one gives every conversation an order of all replicas, the
same in every process and without any state (rendezvous hashing); a replica that is full is passed over for the next.
"""

import hashlib

from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

from serve.lanes.base import LaneCall


class ByHome(RequestRouter):
    """Calls without a home go to the least busy replica."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Ranks of replicas, the first one best; Serve takes the first rank that has room."""
        if pending_request is None:
            return [candidate_replicas]
        # Else Serve asks again at once, and goes on to ask, while everybody is full.
        pending_request.routing_context.should_backoff = True
        home = next((call.home for call in pending_request.args if isinstance(call, LaneCall)), "")
        if not home:
            return [candidate_replicas]
        return [
            [one] for one in sorted(candidate_replicas, key=lambda one: rank(home, one.replica_id.unique_id))
        ]


def rank(home: str, replica: str) -> bytes:
    """The replica of the lowest rank is the home; when it goes, only its own conversations move."""
    return hashlib.sha256(f"{home}\0{replica}".encode()).digest()
