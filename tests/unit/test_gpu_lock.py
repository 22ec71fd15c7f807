"""The GPU image's install, played as far as a machine without room for it can: index, hashes, tags, requirements.

What the GPU lock shares with the CPU lock is installed wherever these tests run. The rest, some 5 GB of CUDA, is
looked for on the index: is there a wheel for the image with a locked hash, and does the lock hold all that it needs.
"""

import importlib.metadata
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import httpx2
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.manifests import ROOT
from tests.support.package_index import MARKERS, Offer, Pin, metadata, offered, pins, requirements

LOCKS = ROOT / "configs" / "requirements"
GPU = {pin.name: pin for pin in pins((LOCKS / "gpu.txt").read_text())}
CPU = {pin.name: pin for pin in pins((LOCKS / "cpu.txt").read_text())}
One = TypeVar("One")
Found = TypeVar("Found")
OWN = [pin for name, pin in GPU.items() if name not in CPU or CPU[name].version != pin.version]


@pytest.fixture(scope="module")
def index() -> Iterator[httpx2.Client]:
    with httpx2.Client(
        follow_redirects=True, timeout=60, transport=httpx2.HTTPTransport(retries=3)
    ) as client:
        yield client


def asked(question: Callable[[One], Found], about: Sequence[One]) -> list[Found]:
    """Several at a time. An index that is out of reach, or not well, says nothing about the lock."""
    try:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(question, about))
    except httpx2.HTTPError as error:
        pytest.skip(f"the package index that pip asks is out of reach: {type(error).__name__} {error}")


@pytest.fixture(scope="module")
def wheels(index: httpx2.Client) -> dict[str, list[Offer]]:
    found = asked(lambda pin: offered(index, pin), OWN)
    return dict(zip([pin.name for pin in OWN], found, strict=True))


def test_what_only_a_gpu_needs_has_a_wheel_with_a_locked_hash(wheels: dict[str, list[Offer]]) -> None:
    assert len(OWN) > 40
    assert {"torch", "vllm", "triton", "nvidia-cublas"} <= wheels.keys()
    assert [name for name, found in wheels.items() if not found] == []


def test_a_wrong_hash_and_a_wrong_version_would_be_noticed(index: httpx2.Client) -> None:
    pin = GPU["tabulate"]
    wrong = [Pin(pin.name, pin.version, frozenset({"0" * 64})), Pin(pin.name, "0.0.1", pin.hashes)]
    right, *others = asked(lambda one: offered(index, one), [pin, *wrong])
    assert right
    assert others == [[], []]


def test_the_lock_holds_everything_that_its_packages_need(
    index: httpx2.Client, wheels: dict[str, list[Offer]]
) -> None:
    """The image installs it with --no-deps: nobody else would notice what is missing or does not agree."""
    read = asked(lambda found: metadata(index, found[0]), list(wheels.values()))
    needs = dict(zip(wheels, map(requirements, read), strict=True))
    for name in GPU.keys() - needs.keys():
        needs[name] = [Requirement(line) for line in importlib.metadata.requires(name) or ()]
    assert list(unmet(needs)) == []
    assert list(unmet(needs | {"vllm": [*needs["vllm"], Requirement("no-such-package>=1")]})) != []


def unmet(needs: dict[str, list[Requirement]]) -> Iterator[str]:
    """What the product's GPU profile asks for, with all that follows, and the lock does not hold."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    todo = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["gpu"]]
    done: set[tuple[str, str]] = set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if name not in GPU or not wanted.specifier.contains(GPU[name].version, prereleases=True):
            yield str(wanted)
            continue
        for extra in {"", *wanted.extras} - {extra for known, extra in done if known == name}:
            done.add((name, extra))
            follows = [
                one
                for one in needs[name]
                if not one.marker or one.marker.evaluate(MARKERS | {"extra": extra})
            ]
            todo += follows
