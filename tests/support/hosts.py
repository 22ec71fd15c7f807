"""Hosts made of network namespaces: links between them, functions and processes inside them, and what left them.

Works inside `unshare -rnm --pid --fork --kill-child --mount-proc` alone (`command`): what was started ends with it.
"""

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

UNSHARE = ("unshare", "-rnm", "--pid", "--fork", "--kill-child", "--mount-proc")
CLONE_NEWNET = 0x40000000
ETH_P_ALL, IPV4, OUTGOING = 0x0003, 0x0800, 4
SOL_PACKET, PACKET_STATISTICS, SO_ATTACH_FILTER = 263, 6, 26
Value = TypeVar("Value")


def command(*inside: str) -> list[str] | None:
    """The command line that runs `inside` where hosts can be made, None where the machine allows none."""
    if not all(map(shutil.which, ("unshare", "ip"))):
        return None
    probe = [
        *UNSHARE,
        "sh",
        "-ec",
        "mount -t tmpfs none /run; ip netns add probe; ip link add left type veth peer name right",
    ]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        return None
    return [*UNSHARE, *inside]


def prepare() -> None:
    """Before the first host: a place of its own for their names, and no IPv6, which speaks unasked."""
    _do("mount", "-t", "tmpfs", "none", "/run")
    _quiet()
    _do("ip", "link", "set", "lo", "up")


@dataclass(frozen=True, slots=True)
class Host:
    """One network namespace; the empty name is the one that this process is in."""

    name: str

    def make(self) -> "Host":
        """Add it, with its loopback up."""
        _do("ip", "netns", "add", self.name)
        self.run(_quiet)
        self.ip("link", "set", "lo", "up")
        return self

    def ip(self, *words: str) -> None:
        """`ip` in this host."""
        _do("ip", *(("-n", self.name) if self.name else ()), *words)

    def start(self, words: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
        """A process in this host."""
        prefix = ["ip", "netns", "exec", self.name] if self.name else []
        with log.open("ab") as file:
            return subprocess.Popen([*prefix, *words], env=os.environ | environment, stdout=file, stderr=file)

    def run(self, function: Callable[[], Value]) -> Value:
        """What `function` returns in a thread that is in this host. Raises what it raises."""
        box: list[Value] = []
        faults: list[BaseException] = []

        def inside() -> None:
            try:
                self._enter()
                box.append(function())
            except BaseException as error:  # handed to the caller's thread
                faults.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if faults:
            raise faults[0]
        return box[0]

    def sent(self) -> dict[str, int]:
        """Packets that each interface but loopback has sent since it was made, by the kernel's own count."""
        lines = self.run(Path("/proc/thread-self/net/dev").read_text).splitlines()[2:]
        counts = {
            name.strip(): int(numbers.split()[9])
            for name, _, numbers in (line.partition(":") for line in lines)
        }
        return {name: count for name, count in counts.items() if name != "lo"}

    def _enter(self) -> None:
        if self.name:
            with Path("/run/netns", self.name).open() as place:
                if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")


def link(one: Host, name: str, other: Host, peer: str) -> None:
    """A cable between two hosts; both ends up, without addresses."""
    _do("ip", "link", "add", name, "type", "veth", "peer", "name", peer)
    for host, end in ((one, name), (other, peer)):
        if host.name:
            _do("ip", "link", "set", end, "netns", host.name)
        host.ip("link", "set", end, "up")


@dataclass(slots=True)
class Sniffer:
    """Every frame that a host sends on any interface but loopback, by interface and destination.

    But those to the address `but_to`: the kernel leaves them out, so that a host that talks to it a lot loses none of
    the others.
    """

    host: Host
    but_to: str = ""
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    dropped: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "Sniffer":
        wire = self.host.run(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        )
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        wire.settimeout(0.1)
        if self.but_to:
            _leave_out(wire, self.but_to, self.host.run(lambda: socket.if_nametoindex("lo")))
        self._thread = threading.Thread(target=self._listen, args=(wire,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def settled(self) -> Counter[tuple[str, str]]:
        """What was seen so far, and forgotten for the next time, once nothing new has come for a while."""
        before = None
        while before != sum(self.seen.values()):
            before = sum(self.seen.values())
            time.sleep(1)
        found, self.seen = self.seen, Counter()
        return found

    def _listen(self, wire: socket.socket) -> None:
        with wire:
            while True:
                try:
                    frame, (interface, protocol, kind, *_) = wire.recvfrom(64)
                except TimeoutError:
                    if self._stop.is_set():
                        break
                    continue
                if kind == OUTGOING and interface != "lo":
                    self.seen[interface, _destination(frame, protocol)] += 1
            self.dropped = struct.unpack("II", wire.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]


def _leave_out(wire: socket.socket, address: str, loopback: int) -> None:
    """Give `wire` a filter (classic BPF): only what is sent, not on `loopback`, and not by IPv4 to `address`."""
    load, half, equal, end = 0x20, 0x28, 0x15, 0x06
    kind, interface = 0xFFFFF004, 0xFFFFF008  # SKF_AD_OFF with SKF_AD_PKTTYPE and SKF_AD_IFINDEX
    (number,) = struct.unpack("!I", socket.inet_aton(address))
    program = [
        (load, 0, 0, kind),
        (equal, 0, 7, OUTGOING),
        (load, 0, 0, interface),
        (equal, 5, 0, loopback),
        (half, 0, 0, 12),
        (equal, 0, 2, IPV4),
        (load, 0, 0, 30),
        (equal, 1, 0, number),
        (end, 0, 0, 64),
        (end, 0, 0, 0),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    wire.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(code))
    )


def _destination(frame: bytes, protocol: int) -> str:
    return socket.inet_ntoa(frame[30:34]) if protocol == IPV4 else f"protocol {protocol:#06x}"


def _quiet() -> None:
    for which in ("all", "default"):
        switch = Path("/proc/sys/net/ipv6/conf", which, "disable_ipv6")
        if switch.exists():
            switch.write_text("1")


def _do(*words: str) -> None:
    subprocess.run(words, check=True)
