"""The child side of a lane: one loopback provider that does what its parent says on standard input.

    fault NAME    answer with this fault from now on; without a name: as the model name says
    hits          print how many requests have come in

Ends when standard input ends, so that it never outlives the run that started it.
"""

import argparse
import asyncio
import sys

from tests.support.upstream import Request, Upstream

KEEP = 500


async def _serve(port: int) -> None:
    hits = 0

    def count(request: Request) -> None:
        nonlocal hits
        hits += 1
        if len(upstream.requests) >= KEEP:  # a soak may last for hours
            upstream.clear()

    upstream = Upstream(port=port, on_answer=count)
    async with upstream:
        print(upstream.port, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            command, _, argument = line.strip().partition(" ")
            if command == "fault":
                upstream.play(argument)
            print(hits, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(_serve(parser.parse_args().port))
