"""What a package index offers for the images, looked at without fetching a wheel: its page, and a wheel's last bytes.

Knows the machine of k8s/Dockerfile.*: CPython 3.11 on Debian 12, x86_64. Does not install.
"""

import html
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import cache
from urllib.parse import unquote, urljoin

import httpx2
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

PYTHON, GLIBC = (3, 11), 36  # of Debian 12: 2.36
MARKERS = {
    "python_version": "3.11",
    "python_full_version": "3.11.14",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
}
LINK = re.compile(r'href="([^"#]+)#sha256=([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Pin:
    """One locked package. `hashes` are hexadecimal sha256 sums."""

    name: str
    version: str
    hashes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Offer:
    """One file of an index."""

    file: str
    url: str
    sha256: str


_ASK_PIP = """
from pip._internal.configuration import Configuration
from pip._internal.exceptions import ConfigurationError
from pip._internal.models.index import PyPI
settings = Configuration(isolated=False)
settings.load()
try:
    print(settings.get_value("global.index-url"))
except ConfigurationError:
    print(PyPI.simple_url)
"""


@cache
def address() -> str:
    """The index that pip asks on this machine. In a process of its own: who imports pip gets Python's old distutils."""
    if given := os.environ.get("PIP_INDEX_URL"):
        return given
    asked = subprocess.run(
        [sys.executable, "-c", _ASK_PIP], capture_output=True, text=True, check=True, timeout=120
    )
    return asked.stdout.strip()


def tags() -> frozenset[Tag]:
    """The wheels that install in the image."""
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(GLIBC, 4, -1)]
    platforms += [f"manylinux{year}_x86_64" for year in (2014, 2010, 1)] + ["linux_x86_64"]
    return frozenset(
        [*cpython_tags(PYTHON, platforms=platforms), *compatible_tags(PYTHON, "cp311", platforms)]
    )


def offered(client: httpx2.Client, pin: Pin) -> list[Offer]:
    """The wheels that the image could install for `pin`, with a hash that is locked. Raises HTTPError."""
    page = client.get(f"{address().rstrip('/')}/{pin.name}/", headers={"accept": "text/html"})
    if page.status_code == 404:
        return []
    page.raise_for_status()
    links = [
        (urljoin(str(page.url), html.unescape(link)), digest) for link, digest in LINK.findall(page.text)
    ]
    files = [Offer(unquote(url.rpartition("/")[2]), url, digest) for url, digest in links]
    return [one for one in files if one.sha256 in pin.hashes and _fits(one.file, pin)]


def metadata(client: httpx2.Client, wheel: Offer) -> str:
    """What a wheel says of itself, read from the end of the file. Raises HTTPError."""
    with zipfile.ZipFile(_Ranged(client, wheel.url)) as archive:
        (place,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        return archive.read(place).decode("utf-8")


def requirements(text: str) -> list[Requirement]:
    """What a wheel needs by its metadata. Not for several threads: Python 3.11 parses literals in one at a time."""
    return [Requirement(line) for line in HeaderParser().parsestr(text).get_all("Requires-Dist", [])]


def _fits(file: str, pin: Pin) -> bool:
    try:
        name, version, _build, own = parse_wheel_filename(file)
    except InvalidWheelFilename:
        return False
    return (name, str(version)) == (canonicalize_name(pin.name), pin.version) and not own.isdisjoint(tags())


class _Ranged(io.RawIOBase):
    """A file on a server, of which only what is read is fetched."""

    def __init__(self, client: httpx2.Client, url: str) -> None:
        super().__init__()
        self._client, self._url, self._at = client, url, 0
        self._tail, whole = self._part(f"-{1 << 16}")
        self._size = int(whole.rpartition("/")[2])

    def _part(self, span: str) -> tuple[bytes, str]:
        with self._client.stream("GET", self._url, headers={"range": f"bytes={span}"}) as answer:
            answer.raise_for_status()
            if answer.status_code != 206:  # gigabytes would follow
                raise httpx2.HTTPError("it serves no parts of files")
            return answer.read(), answer.headers["content-range"]

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        start, end = self._at, self._size if size < 0 else min(self._size, self._at + size)
        self._at = max(start, end)
        if start >= end:
            return b""
        if (kept := self._size - len(self._tail)) <= start:
            return self._tail[start - kept : end - kept]
        return self._part(f"{start}-{end - 1}")[0]


def pins(text: str) -> Iterator[Pin]:
    """Every pin of a lock file."""
    for block in re.split(r"(?m)^(?=[a-z0-9])", text)[1:]:
        name, _, version = block.split(maxsplit=1)[0].partition("==")
        yield Pin(name, version, frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", block)))
