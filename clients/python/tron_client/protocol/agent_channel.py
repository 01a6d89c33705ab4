"""The gRPC channel of a heartbeat stream. It is replaced after a credential was renewed, and after a connection was
abandoned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from tron_client import forks
from tron_client.channel import TRUST, open_agent_channel
from tron_client.credentials import presented_to, renews_unseen

if TYPE_CHECKING:
    from tron_client.address import Address
    from tron_client.credentials import Presented


class AgentChannel:
    """The gRPC channel to one address. The caller must hold the lock of the stream, except for `wait_ready`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._channel: grpc.Channel | None = None
        self._generation = 0
        self._presented: Presented = None, ""

    def open(self) -> grpc.Channel:
        """Return the channel for the next stream. Raises ValueError for certificates that cannot be used."""
        generation, presented = TRUST.generation, presented_to(self._address)
        if self._channel is None or self._generation != generation or self._presented[0] is not presented[0]:
            self.close()
            self._channel = open_agent_channel(self._address, generation)
        self._generation, self._presented = generation, presented
        return self._channel

    def give_up(self) -> None:
        """Abandon the connection: later streams of the whole process use another connection."""
        TRUST.give_up(self._generation)

    def may_renew(self) -> bool:
        """Return whether the next stream may use another credential than the last stream did."""
        try:
            return renews_unseen(self._address) or presented_to(self._address) != self._presented
        except ValueError:
            return False  # the file is being written

    def wait_ready(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the channel is connected; return whether it is. The caller must not hold
        the lock."""
        if self._channel is None:
            return False
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(timeout)
        except grpc.FutureTimeoutError:
            return False
        finally:
            ready.cancel()
        return True

    def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def forget(self) -> None:
        """Keep a reference to the parent's channel in a forked child, without using the channel."""
        forks.keep(self._channel)
