"""An upstream that answers at once: `python -m bench.overhead.upstream` prints its URL and serves until stdin ends.

A prompt that holds `chunks=N` gets N chunks when it asks for a stream. Costs little, so that what is measured is
the router before it. Knows chat completions and the questions that routers ask servers at their start.
"""

import asyncio
import json
import re
import sys
from typing import Any

CHUNKS = re.compile(rb"chunks=([0-9]+)")
STREAM = re.compile(rb'"stream" ?: ?true')
LENGTH = re.compile(rb"(?i)\r\ncontent-length: ?([0-9]+)")
CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: ?chunked")
USAGE = {"prompt_tokens": 80, "completion_tokens": 4, "total_tokens": 84}
HEAD = {"id": "chatcmpl-instant", "created": 1, "model": "mock"}
WHOLE = HEAD | {
    "object": "chat.completion",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "one two"}, "finish_reason": "stop"}
    ],
    "usage": USAGE,
}
PAGES: dict[bytes, object] = {
    b"/v1/models": {
        "object": "list",
        "data": [{"id": "mock", "object": "model", "created": 1, "owned_by": "me"}],
    },
    b"/health": {},
    b"/get_model_info": {"model_path": "mock", "is_generation": True},
    b"/get_server_info": {"model_path": "mock", "version": "1"},
    b"/server_info": {"model_path": "mock", "version": "1"},
}


def _event(document: object) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


def _delta(delta: dict[str, Any], reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return _event(HEAD | {"object": "chat.completion.chunk", "choices": [choice]})


# Not all alike: litellm ends a stream that repeats itself.
WORDS = [_delta({"role": "assistant", "content": f"word {number}, "}, None) for number in range(10)]
END = _delta({}, "stop")
LAST = _event(HEAD | {"object": "chat.completion.chunk", "choices": [], "usage": USAGE}) + b"data: [DONE]\n\n"


def _whole(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def _part(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _stream(writer: asyncio.StreamWriter, chunks: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for number in range(chunks):
        writer.write(_part(WORDS[number % len(WORDS)]))
        await asyncio.sleep(0)  # each chunk is a packet of its own, as a model sends it
    writer.write(_part(END) + _part(LAST) + b"0\r\n\r\n")
    await writer.drain()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if CHUNKED.search(head):
        parts = []
        while size := int(await reader.readline(), 16):
            parts.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return b"".join(parts)
    length = LENGTH.search(head)
    return await reader.readexactly(int(length[1])) if length else b""


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await _body(reader, head)
            page = head.split(b" ", 2)[1]
            if page.endswith(b"/chat/completions"):
                if STREAM.search(body):
                    found = CHUNKS.search(body)
                    await _stream(writer, int(found[1]) if found else 20)
                else:
                    writer.write(_whole(WHOLE))
            elif page == b"/metrics":
                line = b"vllm:num_requests_running 0\n"
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(line), line))
            else:
                writer.write(_whole(PAGES.get(page, {})))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the router has closed its connection
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, limit=1 << 20)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
