"""Which model answered, and which revision of it: as configured and as locked, never as the lane says itself."""

from functools import cache

from models import lock
from serve.audit.records import Answered, code
from serve.config import Config, EncoderLane, EngineLane

UNPINNED = "none"


def answered(name: str, config: Config) -> Answered:
    """The record of the lane called `name` as the one that answered. Raises KeyError."""
    lane = config.lane(name)
    if isinstance(lane, EngineLane):
        engine = config.engines[lane.engine]
        model, revision = engine.model, engine.revision or _locked().get(engine.model, UNPINNED)
    elif isinstance(lane, EncoderLane) and lane.path is None:
        model, revision = lane.model, _locked().get(lane.model, UNPINNED)
    else:
        model, revision = lane.model, UNPINNED
    return Answered(lane=code(name), location=lane.location, model=code(model), revision=code(revision))


@cache
def _locked() -> dict[str, str]:
    return {
        artefact.name: artefact.hub.revision if artefact.hub else f"sha256:{artefact.files[0].sha256}"
        for artefact in lock.shipped().artefact
    }
