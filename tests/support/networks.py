"""Machines for agents: network namespaces on a bridge of their own, which can be cut off, one way or both, or removed.

Needs root and iproute2. No process is notified when a machine is cut off: its interface stays up, as behind a
switch that lost its uplink.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_numbers = itertools.count(11)

BRIDGE_ADDRESS = "02:00:00:00:00:01"
"""Of the bridge itself, locally administered; ports have random ones."""


class NotPossible(Exception):
    """This machine does not let us make namespaces, or a bridge."""


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotPossible(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Machine:
    """One host beside the registry's."""

    def __init__(self, network: Network, name: str, port: str, address: str) -> None:
        self.name = name
        self.address = address
        self._network = network
        self._port = port
        self._is_there = True

    @property
    def under(self) -> tuple[str, ...]:
        """The command that runs another command on this machine, in place of itself."""
        return ("ip", "netns", "exec", self.name)

    def hears_nothing(self) -> None:
        """What is sent to it is lost; what it sends still arrives. So what it is answered stays in flight."""
        _ip("link", "set", self._port, "type", "bridge_slave", "flood", "off", "learning", "off", "fdb_flush")

    def cut(self) -> None:
        """Nothing gets through any more, either way."""
        _ip("link", "set", self._port, "nomaster")

    def heal(self) -> None:
        """Everything gets through again."""
        _ip("link", "set", self._port, "master", self._network.bridge)

    def remove(self) -> None:
        """The machine is gone, with all that it was going to say."""
        if self._is_there:
            self._is_there = False
            _ip("link", "del", self._port)
            _ip("netns", "del", self.name)


class Network:
    """A bridge of our own; its address is the one to listen on."""

    def __init__(self, bridge: str, prefix: str) -> None:
        self.bridge = bridge
        self.prefix = prefix
        self.address = f"{prefix}.1"

    @contextmanager
    def machine(self) -> Iterator[Machine]:
        """A machine until the block ends."""
        number = next(_numbers)
        name, port = f"{self.bridge}-{number}", f"{self.bridge}p{number}"
        _ip("netns", "add", name)
        machine = Machine(self, name, port, f"{self.prefix}.{number}")
        with ExitStack() as stack:
            stack.callback(machine.remove)
            _ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", port, "master", self.bridge, "up")
            _ip("-n", name, "addr", "add", f"{machine.address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            yield machine


@contextmanager
def network() -> Iterator[Network]:
    """A network until the block ends. Raises NotPossible."""
    if os.geteuid() != 0:
        raise NotPossible("only root can make network namespaces")
    number = os.getpid() % 100_000
    found = Network(f"tron{number}", f"10.251.{number % 250}")
    # An address of its own. Otherwise a bridge takes the lowest of its ports' addresses, and a port that is cut off
    # still has it, so this machine would go on hearing what comes in there.
    _ip("link", "add", found.bridge, "address", BRIDGE_ADDRESS, "type", "bridge", "forward_delay", "0")
    try:
        _ip("addr", "add", f"{found.address}/24", "dev", found.bridge)
        _ip("link", "set", found.bridge, "up")
        yield found
    finally:
        _ip("link", "del", found.bridge)
