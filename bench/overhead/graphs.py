"""Pointsman and the floor under it in one Ray cluster: `python -m bench.overhead.graphs CONFIG`, until stdin ends.

The floor (`/bare/...`) is the same deployments with nothing in them: an ingress replica hands the body over a handle to
a replica that posts it and hands the answer back. Prints the URL when both answer.
"""

import sys
from collections.abc import AsyncIterator
from typing import Any

from rich.console import Console

from serve import config
from serve.up import running


def main(path: str) -> None:
    """Serve until standard input ends."""
    settings = config.load(path)
    with running(settings, Console(stderr=True)) as url:
        from ray import serve

        serve.run(_floor(settings), name="bare", route_prefix="/bare")  # type: ignore[arg-type]
        print(url, flush=True)
        sys.stdin.read()


def _floor(settings: config.Config) -> object:
    import httpx2
    from fastapi import FastAPI, Request
    from fastapi.responses import Response, StreamingResponse
    from ray import serve

    app = FastAPI()
    address = next(lane for lane in settings.lanes if isinstance(lane, config.HttpLane)).url

    @serve.deployment(name="BareProxy", max_ongoing_requests=512, ray_actor_options={"num_cpus": 0.1})
    class Proxy:
        def __init__(self) -> None:
            limits = httpx2.Limits(max_connections=128, max_keepalive_connections=128)
            self._http = httpx2.AsyncClient(trust_env=False, timeout=60, limits=limits)

        async def answer(self, body: bytes) -> AsyncIterator[bytes]:
            headers = {"content-type": "application/json"}
            url = f"{address}/chat/completions"
            async with self._http.stream("POST", url, content=body, headers=headers) as response:
                async for piece in response.aiter_raw():
                    yield piece

    @serve.deployment(name="BareRouter", max_ongoing_requests=512, ray_actor_options={"num_cpus": 0.1})
    @serve.ingress(app)
    class Router:
        def __init__(self, proxy: Any) -> None:
            self._answer = proxy.options(stream=True).answer

        @app.post("/v1/chat/completions")
        async def chat(self, request: Request) -> Response:
            body = await request.body()
            pieces = self._answer.remote(body)
            if b'"stream": true' in body:
                return StreamingResponse(pieces, media_type="text/event-stream")
            whole = b"".join([piece async for piece in pieces])
            return Response(whole, media_type="application/json")

    return Router.bind(Proxy.bind())  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1])
