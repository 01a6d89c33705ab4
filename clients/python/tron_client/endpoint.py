"""Describes how to reach a server: an Endpoint is accepted wherever an address of the registry or of TRON is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import grpc.aio

from tron_client import arguments
from tron_client.address import DEFAULT_REGISTRY, Address, parse_address

if TYPE_CHECKING:
    from collections.abc import Sequence


AGENTS_PER_STREAM = 500
CALLBACK_THREADS = 8


class Endpoint(Address):
    """The addresses of one server, with credentials, interceptors and options. Agents of a process with equal endpoints
    share a stream."""

    __slots__ = ("agents_per_stream", "callback_threads", "credentials", "interceptors")

    credentials: grpc.ChannelCredentials | None
    interceptors: tuple[object, ...]
    agents_per_stream: int
    callback_threads: int

    def __init__(
        self,
        addresses: str | Sequence[str] = DEFAULT_REGISTRY,
        credentials: grpc.ChannelCredentials | None = None,
        interceptors: Sequence[object] = (),
        *,
        agents_per_stream: int = AGENTS_PER_STREAM,
        callback_threads: int = CALLBACK_THREADS,
    ) -> None:
        """Describe a server.

        `addresses`: one address, or several IP addresses of one family with their ports, which are tried in order.
        `credentials`: for TLS; None means plaintext. `interceptors`: client interceptors of `grpc`, of `grpc.aio`, or
        of both; each client uses those of its own kind. `agents_per_stream`: with more agents in a process, the SDK
        opens another stream. `callback_threads`: how many callbacks of these agents may run at the same time. Raises
        ValueError for an invalid address, InvalidRequest for a number below 1, and TypeError for invalid credentials or
        interceptors.
        """
        given = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        if not given:
            raise ValueError("addresses: is empty; name at least one, such as " + DEFAULT_REGISTRY)
        found = [parse_address(each, "addresses") for each in given]
        text, endpoints = found[0].text, found[0].endpoints
        if len(found) > 1:
            text, endpoints = _together(found)
        if credentials is not None and not isinstance(credentials, grpc.ChannelCredentials):
            raise TypeError("credentials: must be grpc.ChannelCredentials, not " + type(credentials).__name__)
        for each in interceptors:
            if not isinstance(each, (*SYNC, grpc.aio.ClientInterceptor)):
                raise TypeError(f"interceptors: {type(each).__name__} is no client interceptor of grpc or grpc.aio")
        super().__init__(text, endpoints)
        object.__setattr__(self, "credentials", credentials)
        object.__setattr__(self, "interceptors", tuple(interceptors))
        for name, number in (("agents_per_stream", agents_per_stream), ("callback_threads", callback_threads)):
            object.__setattr__(self, name, arguments.whole(name, number, at_least=1))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Endpoint):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        options = self.agents_per_stream, self.callback_threads
        return self.text, self.endpoints, self.credentials, self.interceptors, options


SYNC = (
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
)
"""The kinds of interceptors that a synchronous channel takes."""


def _together(addresses: list[Address]) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Return several addresses as one target of gRPC. Raises ValueError if they are not IP addresses of one family."""
    endpoints = tuple(endpoint for address in addresses for endpoint in address.endpoints)
    families = {_family(host) for host, _ in endpoints} if all(each.endpoints for each in addresses) else {""}
    if len(families) > 1 or "" in families:
        raise ValueError(
            "addresses: several must be IP addresses of one family, such as 10.0.0.1:6122 and 10.0.0.2:6122"
        )
    (family,) = families
    hosts = (f"[{host}]:{port}" if family == "ipv6" else f"{host}:{port}" for host, port in endpoints)
    return f"{family}:{','.join(hosts)}", endpoints


def _family(host: str) -> str:
    if ":" in host:
        return "ipv6"
    return "ipv4" if host.replace(".", "").isdecimal() and host.count(".") == 3 else ""
