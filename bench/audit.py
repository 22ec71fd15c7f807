"""What a durable record costs: the wait of one request, and how many records a second the log takes (row A4).

    python -m bench.audit --url sqlite:////path/on/the/disk/state.db

A request waits for its intent and leaves its outcome behind. The wait is what the log adds to a request that may leave
the premises; one that may not does not wait.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench import machine
from serve.audit import rows, verify
from serve.audit.config import AuditConfig
from serve.audit.records import Draft, Intent, Outcome, Place, Tried
from serve.audit.writer import Writer

CLIENTS = (1, 8, 64, 256)
PATIENCE_S = 60.0


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 when the log does not verify afterwards, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="state.url; default: a SQLite file in a temporary folder")
    parser.add_argument("--requests", type=int, default=2_000, help="requests of each row of the table")
    parser.add_argument("--json", type=Path, help="write the result here as well")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        url = options.url or f"sqlite:///{folder}/state.db"
        found = [asyncio.run(_measure(url, clients, options.requests)) for clients in CLIENTS]
        with rows.reading(url) as connection:
            whole = verify.log(connection).is_good
    for row in found:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    result = {"machine": machine.machine(), "verified": whole, "results": found}
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if whole else 1


async def _measure(url: str, clients: int, requests: int) -> dict[str, float]:
    """`clients` requests at a time, each as soon as the one before it is done."""
    writer = Writer(url, AuditConfig(write_timeout_s=PATIENCE_S))
    while not writer.began:  # noqa: ASYNC110 - it belongs to a thread
        await asyncio.sleep(0.01)
    waits: list[float] = []

    async def client(count: int) -> None:
        for _ in range(count):
            began = time.perf_counter()
            fault = await writer.write(_intent()).fault()
            waits.append(time.perf_counter() - began)
            assert fault is None, fault
            writer.submit(_outcome())

    began = time.perf_counter()
    await asyncio.gather(*(client(requests // clients) for _ in range(clients)))
    await asyncio.to_thread(writer.close, PATIENCE_S)
    seconds = time.perf_counter() - began
    cuts = statistics.quantiles(waits, n=100)
    return {
        "clients": clients,
        "wait_p50_ms": round(cuts[49] * 1000, 2),
        "wait_p99_ms": round(cuts[98] * 1000, 2),
        "records_per_s": round(2 * len(waits) / seconds),
    }


def _intent() -> Draft:
    lanes = [Place(lane="local-general", location="device"), Place(lane="cloud-openai", location="global")]
    sheet = Intent(
        data_class="public",
        rules=[],
        lanes=lanes,
        off_premises=True,
        reasons=["local_first"],
        policy_version="0" * 64,
        input_tokens=900,
    )
    return Draft.of(sheet, "dec_0123456789abcdef0123456789abcdef", "0123456789")


def _outcome() -> Draft:
    sheet = Outcome(
        status="ok",
        cloud_egress=False,
        tried=[Tried(lane="local-general", location="device", outcome="ok", ms=800)],
        answered=None,
        reasons=["local_first"],
        fallbacks=[],
        escalations=[],
        tokens_in=900,
        tokens_out=200,
        cost_microusd=None,
        latency_ms=810,
        review=None,
    )
    return Draft.of(sheet, "dec_0123456789abcdef0123456789abcdef")


if __name__ == "__main__":
    sys.exit(main())
