"""Memory of one Router over very many requests, good and bad: nothing may be kept of a request.

    python -m bench.soak --requests 100000 --out bench/results/soak.json --plot bench/results/soak.svg

Linux only. The real ingress (`bench.ingress`: everything of a Router process but Ray and the Scout) between loopback
providers. `make chaos CHAOS="--soak N"` does the same with Ray, slower.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from bench import processes, report
from bench.chaos.figures import slope
from bench.chaos.lanes import Lane
from bench.machine import ROOT, commit
from serve.keys import credential, file
from serve.keys.entry import Grant, KeyEntry
from tests.support.serving import config

SAMPLES = 100
WARM_SHARE = 0.25
KEYS = 200
TOKENS_PER_MINUTE = 100_000_000
HEADS_END, STREAM_ENDS = b"\r\n\r\n", (b"data: [DONE]\n\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n")


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of request: every `each`-th one, asked with `header`; good when its answer starts with `status`."""

    name: str
    each: int
    status: int
    stream: bool = False
    leaves: bool = False
    broken: bool = False
    header: str = ""


# The first that fits is taken. No two numbers share a factor, so every key sends every kind.
KINDS = (
    Kind("client leaves a stream", 23, 0, stream=True, leaves=True),
    Kind("body is not JSON", 41, 400, broken=True),
    Kind("first lane fails, next one answers", 29, 200, header="x-pointsman-prefer: cloud\r\n"),
    Kind("unknown key", 53, 401),
    Kind("stream", 2, 200, stream=True),
    Kind("whole answer", 1, 200),
)


@dataclass(slots=True)
class Sample:
    """What the process held after so many requests."""

    requests: int
    seconds: float
    rss_mib: float
    files: int
    tasks: int
    objects: int


@dataclass(slots=True)
class Run:
    """Everything that was seen; `kinds` counts requests, `wrong` those that ended otherwise than they should."""

    samples: list[Sample] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 1 when a request ended otherwise than it should, else 0."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    started_at, began = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    measured = commit()  # of what runs: the tree may move on meanwhile
    with _ingress() as (process, url, keys):
        run = asyncio.run(_Asking(url, keys, options).run(process))
    result = report.origin(
        ["python", "-m", "bench.soak", *arguments], started_at, time.perf_counter() - began
    )
    result |= {"commit": measured} | summary(run)
    result |= {"samples": [[getattr(s, name) for name in Sample.__slots__] for s in run.samples]}
    report.save(options.out, result)
    if options.plot:
        _draw(result, options.plot)
    Console().print_json(data={name: value for name, value in result.items() if name != "samples"})
    return 1 if run.wrong else 0


def summary(run: Run) -> dict[str, Any]:
    """Slopes without the first quarter, in which caches fill and the allocator settles."""
    settled = run.samples[int(len(run.samples) * WARM_SHARE) :]
    slopes = {
        name: slope([(sample.requests, float(getattr(sample, name))) for sample in settled]) * 1000
        for name in ("rss_mib", "files", "tasks", "objects")
    }
    return {
        "requests": sum(run.kinds.values()),
        "kinds": dict(run.kinds),
        "wrong": dict(run.wrong),
        "rss_kib_per_1000": round(slopes.pop("rss_mib") * 1024, 2),
        "per_1000": {name: round(value, 3) for name, value in slopes.items()},
        "rss_mib_from_to": [settled[0].rss_mib, settled[-1].rss_mib] if settled else [],
        "columns": [*Sample.__slots__],
    }


def kind_of(serial: int) -> Kind:
    """What the request with this number is."""
    return next(kind for kind in KINDS if serial % kind.each == 0)


@contextmanager
def _ingress() -> Iterator[tuple["subprocess.Popen[str]", str, list[str]]]:
    """The process, its URL and the keys that it lets in."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name, Lane() as local, Lane() as cloud:
        folder = Path(name)
        keys = _keys(folder / "keys.yaml")
        settings = config(
            local.url,
            cloud.url,
            models={"cloud-openai": "500"},
            keys={"mode": "required", "file": str(folder / "keys.yaml")},
            limits={"tokens_per_minute": TOKENS_PER_MINUTE},
        )
        (folder / "soak.yaml").write_text(yaml.safe_dump(json.loads(settings.model_dump_json())))
        with subprocess.Popen(
            [sys.executable, "-m", "bench.ingress", str(folder / "soak.yaml")],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                yield process, process.stdout.readline().strip(), keys
            finally:
                process.stdin.close()


def _keys(path: Path) -> list[str]:
    """As many keys as a company has programs, in a file as Kubernetes mounts it."""
    fresh = [credential.mint() for _ in range(KEYS)]
    grant = Grant(overrides=True)
    entries = [
        KeyEntry(id=public, name=f"key-{at}", sha256=sha256, grant=grant)
        for at, (public, _, sha256) in enumerate(fresh)
    ]
    path.write_text("keys:\n" + "".join(file.written(entry) for entry in entries))
    return [key for _, key, _ in fresh]


class _Asking:
    """Workers that ask one after another over connections that stay open, with as little work as can be."""

    def __init__(self, url: str, keys: list[str], options: argparse.Namespace) -> None:
        self._port, self._keys = int(url.rpartition(":")[2]), keys
        self._requests, self._workers, self._rate = options.requests, options.workers, options.rate
        self._serial, self._run, self._began = 0, Run(), time.monotonic()

    async def run(self, process: "subprocess.Popen[str]") -> Run:
        """Ask them all; look at the process along the way."""
        workers = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        done = asyncio.gather(*workers)
        while not done.done():
            if self._serial >= len(self._run.samples) * self._requests / SAMPLES:
                self._run.samples.append(await asyncio.to_thread(self._look, process))
            await asyncio.wait({done}, timeout=0.05)
        await done
        self._run.samples.append(await asyncio.to_thread(self._look, process))
        return self._run

    async def _work(self) -> None:
        peer: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while self._serial < self._requests:
            self._serial += 1
            serial, kind = self._serial, kind_of(self._serial)
            await asyncio.sleep(self._began + serial / self._rate - time.monotonic())
            try:
                peer = peer or await asyncio.open_connection("127.0.0.1", self._port)
                status = await self._ask(serial, kind, *peer)
            except (OSError, asyncio.IncompleteReadError, ValueError, TimeoutError) as error:
                status = type(error).__name__
            if kind.leaves or not status.isdecimal():
                _close(peer)
                peer = None
            self._run.kinds[kind.name] += 1
            if status != str(kind.status):
                self._run.wrong[f"{kind.name}: {status}"] += 1
        _close(peer)

    async def _ask(
        self, serial: int, kind: Kind, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> str:
        """The status, once the answer was read to its end."""
        writer.write(self._bytes(serial, kind))
        async with asyncio.timeout(60):
            if kind.leaves:
                await reader.readuntil(HEADS_END)
                return "0"
            head = await reader.readuntil(HEADS_END)
            status = head[9:12].decode()
            if b"chunked" in head.lower():
                await reader.readuntil(STREAM_ENDS[0] if kind.stream else STREAM_ENDS[1])
            else:
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
        return status

    def _bytes(self, serial: int, kind: Kind) -> bytes:
        prompt = f"Say {serial:06} back to me." + " And more words." * (serial % 97)
        body = json.dumps(
            {"model": "auto", "stream": kind.stream, "messages": [{"role": "user", "content": prompt}]}
        )
        body = body[:-1] if kind.broken else body
        key = self._keys[serial % len(self._keys)]
        key = key[:-4] + "0000" if kind.status == 401 else key
        return (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {key}\r\n{kind.header}content-length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def _look(self, process: "subprocess.Popen[str]") -> Sample:
        assert process.stdin is not None
        assert process.stdout is not None
        print("look", file=process.stdin, flush=True)
        held = json.loads(process.stdout.readline())
        (seen,) = processes.measure([process.pid])
        files = len(os.listdir(f"/proc/{process.pid}/fd"))
        seconds = round(time.monotonic() - self._began, 1)
        return Sample(
            self._serial, seconds, round(seen.rss_kib / 1024, 2), files, held["tasks"], held["objects"]
        )


def _close(peer: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
    if peer is not None:
        peer[1].close()


def _draw(result: dict[str, Any], path: Path) -> None:
    """Memory, objects and open files over requests, to an .svg or .png file."""
    import matplotlib as mpl  # slow to import, and only a plot wants it

    mpl.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "pointsman"}
    )
    figure, panels = pyplot.subplots(
        3, 1, figsize=(8, 6.5), sharex=True, height_ratios=(3, 1.5, 1.5), layout="constrained"
    )
    columns = {name: [row[at] for row in result["samples"]] for at, name in enumerate(result["columns"])}
    names = {"rss_mib": "RSS, MiB", "objects": "Python objects", "files": "open files"}
    for axes, (name, label) in zip(panels, names.items(), strict=True):
        axes.plot(columns["requests"], columns[name], color="#2a7f62", linewidth=1.4)
        axes.set_ylim(0, max(columns[name]) * 1.15)
        axes.set_ylabel(label)
        axes.axvline(
            WARM_SHARE * columns["requests"][-1], color="#8c959f", linewidth=0.8, linestyle=(0, (3, 3))
        )
    panels[-1].set_xlabel("requests")
    figure.suptitle(
        f"One Router process over {result['requests']:,} requests: {result['rss_kib_per_1000']:+.1f} KiB per 1,000 "
        "after the first quarter",
        x=0.01, ha="left", fontsize=10.5,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _parse(arguments: list[str]) -> argparse.Namespace:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=about)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument(
        "--rate", type=float, default=150, help="requests a second at most: limits remember a minute"
    )
    parser.add_argument("--out", type=Path, help="write everything to this JSON file too")
    parser.add_argument("--plot", type=Path, help="draw it into this SVG or PNG file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
