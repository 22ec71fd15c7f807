"""A lane of ours, with its real model, asked through the product: each question once, what it said kept in a file.

Starts `pointsman up` or takes a running one. Does not know what the questions are for.
"""

import argparse
import asyncio
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import Progress

from bench import engine_servers
from bench.child import StartFailed
from bench.client import CHAT, connect
from serve.config import load

Body = Mapping[str, Any]
LONGEST_WAIT_S = 60.0


class Unanswered(Exception):
    """The server did not come up or went away, or refused what it should take; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Asking:
    """Whom to ask and how.

    url          of a running Pointsman; None: one is started from `config`, with one engine and its lanes
    lane         the one that is named as model, so that nobody else answers
    answers      a JSON Lines file: what stands there is not asked again, what is new is added
    at_once      requests under way together
    again        times that one request is asked again after a 503 that says when (`Retry-After`)
    timeout_s    until a server has to be up, and for one answer
    """

    config: Path
    lane: str
    url: str | None = None
    answers: Path | None = None
    at_once: int = 4
    again: int = 3
    timeout_s: float = 600


@dataclass(frozen=True, slots=True)
class Told:
    """What came back: the status, each attempt as `(lane, outcome)`, and the body.

    The status is 200, 400 (the lane cannot take the request) or 5xx: no answer.
    """

    status: int
    trail: tuple[tuple[str, str], ...]
    body: dict[str, Any]

    @property
    def failed(self) -> bool:
        """Whether the product gave no answer, for no fault of the request."""
        return self.status >= 500

    @property
    def choice(self) -> dict[str, Any]:
        """The first choice of an answer; empty where none came."""
        choices = self.body.get("choices") or [{}]
        first: dict[str, Any] = choices[0]
        return first


def options(parser: argparse.ArgumentParser, lane: str) -> None:
    """The options that every live measurement has."""
    parser.add_argument("--config", type=Path, default=Path("configs/cpu.yaml"), help="what is started")
    parser.add_argument("--url", help="a running Pointsman; without it one is started")
    parser.add_argument("--lane", default=lane, help=f"whose model is measured ({lane})")
    parser.add_argument("--sample", type=int, default=60, help="questions, spread over the kinds (60)")
    parser.add_argument("--concurrency", type=int, default=4, help="requests under way together (4)")
    parser.add_argument("--answers", type=Path, help="keep answers in this file, and ask only for the rest")


def asking(given: argparse.Namespace) -> Asking:
    """The options as they were given."""
    return Asking(given.config, given.lane, given.url, given.answers, given.concurrency)


def ask(how: Asking, bodies: Sequence[Body], console: Console) -> list[Told]:
    """The answers in the order of `bodies`. Raises Unanswered."""
    known = _known(how.answers)
    missing = {key: body for body in bodies if (key := _key(how, body)) not in known}
    if missing:
        with _server(how, console) as url:
            try:
                known |= asyncio.run(_all(how, url, missing, console))
            except* Unanswered as several:
                raise several.exceptions[0] from None
    return [known[_key(how, body)] for body in bodies]


def mention(console: Console, lost: int, of: int) -> None:
    """Say how many requests the product failed, if it did."""
    if lost:
        console.print(f"{lost} of {of} requests got no answer (5xx); they count nowhere above.")


def kept(how: Asking, body: Body) -> bool:
    """Whether the answer stands in the file of answers."""
    return _key(how, body) in _known(how.answers)


def spread(sizes: Mapping[str, int], sample: int) -> dict[str, int]:
    """How many of each kind are taken so that `sample` are as evenly spread as the sizes allow."""
    taken, left = {}, min(sample, sum(sizes.values()))
    for place, kind in enumerate(sorted(sizes, key=lambda kind: (sizes[kind], kind))):
        taken[kind] = min(sizes[kind], left // (len(sizes) - place))
        left -= taken[kind]
    return taken


def drawn(name: str) -> bytes:
    """The order in which questions are taken into a sample: by chance, and always the same."""
    return hashlib.sha256(name.encode()).digest()


@contextmanager
def _server(how: Asking, console: Console) -> Iterator[str]:
    if how.url is not None:
        yield how.url
        return
    with tempfile.TemporaryDirectory() as name:
        lane = load(how.config).lane(how.lane)
        if lane.kind != "engine":
            raise Unanswered(f"{how.lane} has no engine to start. Start Pointsman yourself and give --url.")
        config, _ = engine_servers.one_engine(how.config, lane.engine, Path(name))
        with engine_servers.pointsman(config, "plain", how.timeout_s) as server:
            with console.status("Starting Pointsman and its model"):
                try:
                    server.wait()
                except (engine_servers.NotUp, StartFailed) as error:
                    raise Unanswered(str(error)) from error
            yield server.url


async def _all(how: Asking, url: str, missing: Mapping[str, Body], console: Console) -> dict[str, Told]:
    found: dict[str, Told] = {}
    turns = asyncio.Semaphore(how.at_once)
    async with connect(url, how.at_once, how.timeout_s, None) as client:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("questions", total=len(missing))

            async def one(key: str, body: Body) -> None:
                async with turns:
                    found[key] = await told(client, how, body)
                _keep(how.answers, key, found[key])
                bar.advance(task)

            async with asyncio.TaskGroup() as group:
                for key, body in missing.items():
                    group.create_task(one(key, body))
    return found


async def told(client: httpx2.AsyncClient, how: Asking, body: Body) -> Told:
    """One request, asked again as `how` says. Raises Unanswered."""
    response = await _post(client, how, body)
    for _ in range(how.again):
        if response.status_code != 503 or (wait_s := _wait_s(response)) is None:
            break
        await asyncio.sleep(wait_s)
        response = await _post(client, how, body)
    if response.status_code not in (200, 400) and response.status_code < 500:
        raise Unanswered(f"{CHAT} answered {response.status_code}: {response.text[:300]}")
    trail = response.headers.get("x-pointsman-trail", "")
    pairs = tuple(
        (lane, outcome) for one in trail.split(", ") if one for lane, _, outcome in [one.partition("=")]
    )
    return Told(response.status_code, pairs, _document(response))


async def _post(client: httpx2.AsyncClient, how: Asking, body: Body) -> httpx2.Response:
    try:
        return await client.post(CHAT, json={"model": how.lane, **body})
    except httpx2.HTTPError as error:
        raise Unanswered(f"{how.url or 'Pointsman'} did not answer: {type(error).__name__}") from error


def _wait_s(response: httpx2.Response) -> float | None:
    """Seconds that a refusal asks to wait, at most a minute."""
    said = response.headers.get("retry-after", "")
    return min(float(said), LONGEST_WAIT_S) if said.isdecimal() else None


def _document(response: httpx2.Response) -> dict[str, Any]:
    """The body; empty where a failure came with something else than a JSON object."""
    try:
        found = response.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _key(how: Asking, body: Body) -> str:
    """The same question to the same lane has the same key, whatever was asked before it."""
    text = json.dumps([how.lane, body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _known(path: Path | None) -> dict[str, Told]:
    if path is None or not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["key"]: Told(row["status"], tuple(map(tuple, row["trail"])), row["body"]) for row in rows}


def _keep(path: Path | None, key: str, told: Told) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key} | asdict(told)) + "\n")
