"""Describes how to reach a server. An Endpoint can be passed wherever the SDK accepts an address of the registry or of
TRON."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from tron_client import arguments, bearer
from tron_client.address import DEFAULT_REGISTRY, Address, parse_address
from tron_client.tls import NO_FILES, Pem, TlsFiles, from_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from tron_client.bearer import TokenSource

    File = str | PathLike[str] | bytes


AGENTS_PER_STREAM = 500
CALLBACK_THREADS = 8


class Endpoint(Address):
    """The addresses of one server, with credentials, interceptors and options. Agents of a process with equal Endpoints
    share a stream."""

    __slots__ = (
        "_files",
        "_plaintext",
        "_token",
        "agents_per_stream",
        "callback_threads",
        "credentials",
        "interceptors",
    )

    _files: TlsFiles
    _plaintext: bool
    _token: TokenSource | None
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
        ca: File | None = None,
        cert: File | None = None,
        key: File | None = None,
        server_name: str | None = None,
        plaintext: bool = False,
        token_file: str | PathLike[str] | None = None,
        agents_per_stream: int = AGENTS_PER_STREAM,
        callback_threads: int = CALLBACK_THREADS,
    ) -> None:
        """Describe a server.

        `addresses` is one address, or several IP addresses of one family with their ports, which are tried in order.

        `ca` is the PEM file (a path, or its content as bytes) with the CA that signed the server's certificate. `cert`
        and `key` are the certificate of this client and its key, for a server that requires one. If any of the three is
        given, TLS is used; what is missing is taken from TRON_CA, TRON_CERT and TRON_KEY. After a file was replaced,
        the next connection uses the new one. The files are read when a client or an agent is created. `server_name` is
        the name that the server's certificate must have; it is needed for several hosts, and for a host that is reached
        by another name. With `plaintext`, TLS is never used, even if the environment contains certificates.

        `token_file` is a file with the token of this client; without it, TRON_TOKEN_FILE or TRON_TOKEN is used. The
        token is sent only over TLS or to this machine; after the file was replaced, the next call uses the new token.
        `credentials` are gRPC credentials that are used instead of all these. `interceptors` are client interceptors of
        `grpc`, of `grpc.aio`, or of both; each client uses those of its own kind.

        `agents_per_stream` is the number of agents of this process that share a stream before the SDK opens another
        one. `callback_threads` is the number of callbacks of these agents that may run at the same time. Raises
        ValueError for an invalid address or options that exclude each other, InvalidRequest for a number below 1, and
        TypeError for invalid credentials, files or interceptors.
        """
        given = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        if not given:
            raise ValueError("addresses: is empty; give at least one, such as " + DEFAULT_REGISTRY)
        found = [parse_address(each, "addresses") for each in given]
        text, endpoints = found[0].text, found[0].endpoints
        if len(found) > 1:
            text, endpoints = _together(found)
        if credentials is not None and not isinstance(credentials, grpc.ChannelCredentials):
            raise TypeError("credentials: must be grpc.ChannelCredentials, not " + type(credentials).__name__)
        for each in interceptors:
            if not isinstance(each, (*SYNC, grpc.aio.ClientInterceptor)):
                raise TypeError(f"interceptors: {type(each).__name__} is not a client interceptor of grpc or grpc.aio")
        files = _absolute(from_arguments(ca, cert, key, server_name))
        if plaintext and (files != NO_FILES or credentials is not None):
            raise ValueError("plaintext: cannot be combined with ca, cert, key, server_name or credentials")
        if credentials is not None and files != NO_FILES:
            raise ValueError("credentials: cannot be combined with ca, cert, key or server_name")
        super().__init__(text, endpoints)
        object.__setattr__(self, "_files", files)
        object.__setattr__(self, "_plaintext", arguments.flag("plaintext", plaintext))
        object.__setattr__(self, "_token", None if token_file is None else bearer.token_file("token_file", token_file))
        object.__setattr__(self, "credentials", credentials)
        object.__setattr__(self, "interceptors", tuple(interceptors))
        for name, number in (("agents_per_stream", agents_per_stream), ("callback_threads", callback_threads)):
            object.__setattr__(self, name, arguments.whole(name, number, at_least=1))

    @classmethod
    def with_files(cls, address: Address, files: TlsFiles, token: TokenSource | None = None) -> Endpoint:
        """Return an Endpoint with this address, these certificates and this token. If `token` is None, the token comes
        from the environment or the profile."""
        endpoint = cls(address.text)
        object.__setattr__(endpoint, "endpoints", address.endpoints)
        object.__setattr__(endpoint, "_files", files)
        object.__setattr__(endpoint, "_token", token)
        return endpoint

    def elsewhere(self, address: Address) -> Endpoint:
        """Return an Endpoint for another server of the same system, at `address`. The new Endpoint has the same
        certificates as this one. It has the same token, credentials and interceptors only if the other server is on the
        hosts of this Endpoint."""
        same_hosts = _hosts(address) <= _hosts(self)
        endpoint = Endpoint.with_files(address, self._files)
        object.__setattr__(endpoint, "_plaintext", self._plaintext)
        # Another host may be one that a client only claims to be TRON; it must not receive the token.
        object.__setattr__(endpoint, "_token", self._token if same_hosts else bearer.NO_TOKEN)
        if same_hosts:
            object.__setattr__(endpoint, "credentials", self.credentials)
            object.__setattr__(endpoint, "interceptors", self.interceptors)
        return endpoint

    @property
    def files(self) -> TlsFiles:
        """The certificates that were given with the Endpoint; if there are none, those of the environment are used."""
        return self._files

    @property
    def plaintext(self) -> bool:
        """Whether connections are plaintext, even if the environment contains certificates."""
        return self._plaintext

    @property
    def token(self) -> TokenSource | None:
        """The source of the token that was given with the Endpoint; if it is None, the environment or the profile gives
        the token."""
        return self._token

    @property
    def own_credentials(self) -> bool:
        """Whether the program gave gRPC credentials."""
        return self.credentials is not None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Endpoint):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        options = self.agents_per_stream, self.callback_threads
        security = self.credentials, self._files, self._plaintext, self._token
        return self.text, self.endpoints, security, self.interceptors, options


def _hosts(address: Address) -> set[str]:
    return {host for host, _ in address.endpoints}


SYNC = (
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
)
"""The kinds of interceptors that a synchronous channel accepts."""


def _absolute(files: TlsFiles) -> TlsFiles:
    """Return the files with absolute paths: a program may change its working directory before a connection."""

    def absolute(pem: Pem | None) -> Pem | None:
        return Pem(os.path.abspath(pem.path), pem.named) if pem is not None and pem.path else pem  # noqa: PTH100

    return TlsFiles(absolute(files.ca), absolute(files.cert), absolute(files.key), files.server_name)


def _together(addresses: list[Address]) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Return several addresses as one target of gRPC. Raises ValueError if they are not IP addresses of one family."""
    endpoints = tuple(endpoint for address in addresses for endpoint in address.endpoints)
    families = {_family(host) for host, _ in endpoints} if all(each.endpoints for each in addresses) else {""}
    if len(families) > 1 or "" in families:
        raise ValueError(
            "addresses: several addresses must be IP addresses of one family, such as 10.0.0.1:6122 and 10.0.0.2:6122"
        )
    (family,) = families
    hosts = (f"[{host}]:{port}" if family == "ipv6" else f"{host}:{port}" for host, port in endpoints)
    return f"{family}:{','.join(hosts)}", endpoints


def _family(host: str) -> str:
    if ":" in host:
        return "ipv6"
    return "ipv4" if host.replace(".", "").isdecimal() and host.count(".") == 3 else ""
