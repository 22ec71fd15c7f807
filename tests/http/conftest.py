"""A local and a cloud upstream, and the real ingress between them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.memory import memory_folder
from tests.support.serving import client, config, serving
from tests.support.upstream import ThreadedUpstream


@dataclass(frozen=True, slots=True)
class Scene:
    """One running Pointsman and the upstreams on both sides of the border."""

    url: str
    ask: openai.OpenAI
    local: ThreadedUpstream
    cloud: ThreadedUpstream


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: the ledger waits 5 s, and the disk of a test machine may stall for longer."""
    with memory_folder() as folder:
        yield folder


@pytest.fixture
def scene() -> Iterator[Callable[..., Scene]]:
    """`scene(models={"local-general": "500"}, ...)` starts one; everything stops with the test."""
    with ExitStack() as stack:

        def start(models: dict[str, str] | None = None, **changes: Any) -> Scene:
            local = stack.enter_context(ThreadedUpstream())
            cloud = stack.enter_context(ThreadedUpstream())
            url = stack.enter_context(serving(config(local.url, cloud.url, models=models, **changes)))
            return Scene(url, stack.enter_context(client(url)), local, cloud)

        yield start
