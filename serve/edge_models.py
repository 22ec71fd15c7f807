"""`/v1/models`: the names that `model` may have, for the key that asks."""

from collections.abc import Callable

from pydantic import JsonValue
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.config import Config, HttpLane
from serve.edge_error import Handler
from serve.errors import UnknownModel
from serve.keys.limiter import Visit
from serve.keys.rights import Rights

PATH = "/v1/models"


class _Name(PathConvertor):
    """Models have slashes in their names; `/v1/models/` names none, and is no path of ours."""

    regex = ".+"


register_url_convertor("model", _Name())


class ModelRoutes:
    """The handlers. `config` gives the configuration of the moment."""

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each route."""
        return [("GET", PATH, self._list), ("GET", f"{PATH}/{{id:model}}", self._one)]

    async def _list(self, request: Request) -> Response:
        data = [_card(name) for name in _names(self._config(), _rights(request))]
        return JSONResponse({"object": "list", "data": data})

    async def _one(self, request: Request) -> Response:
        name: str = request.path_params["id"]
        if name not in _names(self._config(), _rights(request)):
            raise UnknownModel(
                f"model {name[:64]!r} is not known here; {PATH} lists the names", param="model"
            )
        return JSONResponse(_card(name))


def _rights(request: Request) -> Rights:
    visit: Visit = request.state.visit
    return visit.rights


def _names(config: Config, rights: Rights) -> list[str]:
    lanes = [lane for lane in config.lanes if rights.overrides and rights.may_use(lane.name)]
    names = ["auto", *(lane.name for lane in lanes)]
    names += [f"cloud/{lane.model}" for lane in lanes if isinstance(lane, HttpLane)]
    names += [lane.model for lane in lanes if lane.kind != "engine" and lane.embeddings]
    return list(dict.fromkeys(names))


def _card(name: str) -> JsonValue:
    return {"id": name, "object": "model", "created": 0, "owned_by": "pointsman"}
