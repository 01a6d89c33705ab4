"""How the ports of one program are secured: with TLS and authentication, in plaintext on loopback, or not at all, which
stops the start.

- Development: no certificate is configured, callers do not authenticate, and every port is bound to loopback.
- Secured: every port speaks TLS, and every caller authenticates. On loopback, either may be missing.
- Refused: a port is bound to another address without TLS or without authentication; unless `insecure_listen` allows it
  to serve without authentication, with a warning each minute.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

import grpc
import structlog

from grid_hosting.addresses import exposure_refusal, exposure_warning, parse_listen
from grid_hosting.credential import CertificateRules
from grid_hosting.http_hosts import HostNames, check_host_name
from grid_hosting.http_rules import HttpRules, parse_network
from grid_hosting.listening import bound_beyond_loopback
from grid_hosting.security import SecuritySettings
from grid_hosting.start import StartError
from grid_hosting.tls import ServerTls

log = structlog.get_logger("security")

LONGEST_STREAM = 1.2
"""How long a stream may last, as a multiple of the time for which its connection takes new calls. gRPC varies that time
by a tenth."""

WARN_EVERY = 60.0
"""Seconds between two warnings of a port without TLS that other machines can reach."""

NO_CREDENTIALS = (
    "neither TLS nor authentication is configured, and the program listens on loopback only: all local users have full "
    "access"
)


class ExposedError(StartError):
    """A port is bound to an address that other machines can reach, without TLS or without authentication."""


class TransportSecurity:
    """The transport security of one program. Raises StartError for files that cannot be used."""

    def __init__(self, what: str, settings: SecuritySettings) -> None:
        """`what`: the program, as sentences name it."""
        self._what, self._settings = what, settings
        self.authentication = settings.authentication
        """Whether callers must authenticate."""
        self._exposed: dict[str, None] = {}
        self.tls = None if settings.cert is None else ServerTls(settings)
        """The certificate; None in plaintext."""
        if self.tls is not None and settings.trusted is None and not os.environ.get("TRON_CA"):
            raise StartError(
                "[security] ca: is missing; with cert, name the CA bundle by which the programs verify each other"
            )

    @property
    def certificate_rules(self) -> CertificateRules:
        """Which client certificates authenticate their holders."""
        return self._settings.certificate_rules

    @property
    def max_connection_age(self) -> float | None:
        """The seconds for which a connection of gRPC takes new calls; None: as long as it is open."""
        settings = self._settings
        mutual = settings.client_ca is not None and settings.authentication
        return settings.max_connection_age if mutual and settings.max_connection_age else None

    @property
    def longest_stream(self) -> timedelta | None:
        """How long a stream may last, so that a connection ends some time after it takes no new calls: longer than
        those, so that the next stream needs a new connection. None: as long as its credential."""
        age = self.max_connection_age
        return None if age is None else timedelta(seconds=age * LONGEST_STREAM)

    def grpc_credentials(self) -> grpc.ServerCredentials | None:
        """Return the credentials of one gRPC port; None for plaintext."""
        return None if self.tls is None else self.tls.grpc_credentials()

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the context of one HTTP port; None for plaintext."""
        return None if self.tls is None else self.tls.ssl_context()

    def scheme(self) -> str:
        """Return the scheme of the program's HTTP addresses."""
        return "http" if self.tls is None else "https"

    def http_rules(self, address: str, *, same_host: bool = False, origins: Iterable[str] = ()) -> HttpRules:
        """Return the rules for the requests of one HTTP port. `address`: the one that it is bound to; `same_host`:
        pages of other ports of the same host may act; `origins`: further origins whose pages may act."""
        exposed = bound_beyond_loopback(address)
        own = [parse_listen(address).host, *([socket.gethostname()] if exposed else [])]
        return HttpRules(
            HostNames(
                [*self._settings.http_hosts, *(name for each in own if (name := _host_name(each)))],
                any_address=exposed,
                certified=lambda: () if self.tls is None else self.tls.certificate.names,
            ),
            tls=self.tls is not None,
            trusted_proxies=map(parse_network, self._settings.trusted_proxies),
            same_host=same_host,
            origins=origins,
        )

    def admit(self, *addresses: str) -> None:
        """Check ports that are bound, before they serve. Raises ExposedError."""
        exposed = [address for address in addresses if bound_beyond_loopback(address)]
        if exposed and (
            refusal := exposure_refusal(
                self._what,
                *exposed,
                tls=self.tls is not None,
                authentication=self.authentication,
                insecure=self._settings.insecure_listen,
            )
        ):
            raise ExposedError(refusal)
        self._exposed |= dict.fromkeys(exposed)

    def log_mode(self) -> None:
        """Log how the program is secured, once all ports are bound."""
        if self.tls is None and not self.authentication and not self._exposed:
            log.info("development_mode", why=NO_CREDENTIALS)
        self._warn()

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Take up renewed files, and repeat the warning about ports without authentication, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self.tls is not None:
                tasks.create_task(self.tls.watch())
            while self._exposed and not self.authentication:
                await sleep(WARN_EVERY)
                self._warn()

    def _warn(self) -> None:
        for address in () if self.authentication else self._exposed:
            why = exposure_warning(self._what, address, tls=self.tls is not None)
            log.warning("listening_beyond_loopback", address=address, why=why)


def _host_name(text: str) -> str:
    """Return a host name of this machine as the rules compare it; empty if no client can send it."""
    try:
        return check_host_name(text)
    except ValueError:
        return ""
