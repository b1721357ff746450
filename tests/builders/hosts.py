"""Several hosts on this machine: network namespaces on one bridge, each with its own address and host name.

They share the file system, as hosts of a site share a directory. The test itself has a leg in the network too.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from builders.peers import leave_out

NETWORK = f"198.18.{os.getpid() % 254 + 1}"
"""Of the block for tests of networks (RFC 2544); by process, so that two test runs do not meet."""
TAG = f"spine{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host, and its cable to the bridge."""

    name: str
    address: str
    cable: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a program is started with on this host; the process keeps its id."""
        name_it = 'hostname "$0" && exec "$@"'
        return ("nsenter", f"--net=/run/netns/{TAG}-{self.name}", "unshare", "--uts", "sh", "-c", name_it, self.name)

    def cut_off(self) -> None:
        """Pull the cable: nothing is told to anybody."""
        _ip("-n", f"{TAG}-switch", "link", "set", self.cable, "down")

    def mend(self) -> None:
        """Plug it in again."""
        _ip("-n", f"{TAG}-switch", "link", "set", self.cable, "up")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The hosts by name, and our own address among them."""

    hosts: dict[str, Host]
    address: str = f"{NETWORK}.1"


@contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """Make hosts of these names; skip the test where the kernel does not let this user."""
    if subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, check=False).returncode != 0:
        leave_out("needs network namespaces, which the kernel does not let this user make")
    hosts = {
        name: Host(name=name, address=f"{NETWORK}.{number}", cable=f"port{number}")
        for number, name in enumerate(names, start=2)
    }
    try:
        _ip("netns", "add", f"{TAG}-switch")
        _ip("-n", f"{TAG}-switch", "link", "add", "bridge", "type", "bridge")
        _ip("-n", f"{TAG}-switch", "link", "set", "bridge", "up")
        _plug("port1", TAG)
        _ip("addr", "add", f"{NETWORK}.1/24", "dev", TAG)
        _ip("link", "set", TAG, "up")
        for host in hosts.values():
            space = f"{TAG}-{host.name}"
            _ip("netns", "add", space)
            _plug(host.cable, "eth0", "netns", space)
            _ip("-n", space, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", space, "link", "set", device, "up")
        yield Network(hosts=hosts)
    finally:
        for space in (f"{TAG}-switch", *(f"{TAG}-{name}" for name in names)):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


def _plug(cable: str, *other_end: str) -> None:
    """Lay a cable from the bridge to a device of that name, of this namespace or another."""
    switch = f"{TAG}-switch"
    _ip("link", "add", "name", *other_end, "type", "veth", "peer", "name", cable, "netns", switch)
    _ip("-n", switch, "link", "set", cable, "master", "bridge", "up")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
