"""A loopback server that answers each POST with whatever a function says, for bodies no usual upstream sends."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
Script = Callable[[str, Json], "Json | list[Json]"]
"""Path and body in; one document out, or the events of a stream."""


@dataclass(slots=True)
class Scripted:
    """url: its root. bodies: what it was sent, oldest first."""

    url: str
    bodies: list[Json] = field(default_factory=list)


@contextmanager
def scripted(script: Script) -> Iterator[Scripted]:
    """One that answers by `script` for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            here.bodies.append(body)
            kind, data = _encoded(script(self.path, body))
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    here = Scripted(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


def _encoded(answer: Json | list[Json]) -> tuple[str, bytes]:
    if isinstance(answer, list):
        events = [f"data: {json.dumps(event)}\n\n" for event in answer]
        return "text/event-stream", "".join([*events, "data: [DONE]\n\n"]).encode()
    return "application/json", json.dumps(answer).encode()
