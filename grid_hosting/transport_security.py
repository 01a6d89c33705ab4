"""Decides how the ports of one program are secured: with TLS and authentication, or in plaintext on loopback. Otherwise
the program does not start.

- Development: no certificate is configured, callers do not authenticate, and every port is bound to loopback.
- Secured: every port speaks TLS, and every caller authenticates. On loopback, either may be missing.
- Refused: other machines can reach a port that has no TLS or no authentication. The setting `insecure_listen` allows a
  port without authentication nevertheless; a warning is then logged each minute.
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
"""How long a stream may last, as a multiple of the time for which its connection accepts new calls. gRPC varies that
time by a tenth."""

WARN_EVERY = 60.0
"""Seconds between two warnings about a port without authentication that other machines can reach."""

NO_CREDENTIALS = (
    "neither TLS nor authentication is configured, and the program listens on loopback only: all local users have full "
    "access"
)


class ExposedError(StartError):
    """A port is bound to an address that other machines can reach, without TLS or without authentication."""


class TransportSecurity:
    """The transport security of one program. Raises StartError for files that cannot be used."""

    def __init__(self, what: str, settings: SecuritySettings) -> None:
        """`what` is the name of the program in messages."""
        self._what, self._settings = what, settings
        self.authentication = settings.authentication
        """Whether callers must authenticate."""
        self._exposed: dict[str, None] = {}
        self.tls = None if settings.cert is None else ServerTls(settings)
        """The certificate of the ports; None if they use plaintext."""
        if self.tls is not None and settings.trusted is None and not os.environ.get("TRON_CA"):
            raise StartError(
                "[security] ca: is missing; with `cert`, it must be set to the CA bundle with which the programs "
                "verify each other"
            )

    @property
    def certificate_rules(self) -> CertificateRules:
        """The rules for which client certificates are accepted as credentials."""
        return self._settings.certificate_rules

    @property
    def max_connection_age(self) -> float | None:
        """The seconds for which a gRPC connection accepts new calls; None if there is no limit."""
        settings = self._settings
        mutual = settings.client_ca is not None and settings.authentication
        return settings.max_connection_age if mutual and settings.max_connection_age else None

    @property
    def longest_stream(self) -> timedelta | None:
        """How long a stream may last; None if only its credential limits it. This is longer than the time for which a
        connection accepts new calls. So the client opens a new connection for its next stream, and the old connection
        ends soon."""
        age = self.max_connection_age
        return None if age is None else timedelta(seconds=age * LONGEST_STREAM)

    def grpc_credentials(self) -> grpc.ServerCredentials | None:
        """Return the server credentials for one gRPC port; None for plaintext."""
        return None if self.tls is None else self.tls.grpc_credentials()

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context for one HTTP port; None for plaintext."""
        return None if self.tls is None else self.tls.ssl_context()

    def scheme(self) -> str:
        """Return the scheme of the program's HTTP addresses: `http` or `https`."""
        return "http" if self.tls is None else "https"

    def http_rules(self, address: str, *, same_host: bool = False, origins: Iterable[str] = ()) -> HttpRules:
        """Return the rules for the requests of one HTTP port. `address` is the one to which the port is bound. For
        `same_host` and `origins`, see `HttpRules`."""
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
        """Check the addresses of ports that are bound, before the ports serve. Raises ExposedError if other machines
        can reach a port that is not secured enough."""
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
        """Load renewed certificate files, and repeat the warning about ports without authentication, until
        cancelled."""
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
    """Return a host name of this machine in the form that the rules compare; empty if no client can send it."""
    try:
        return check_host_name(text)
    except ValueError:
        return ""
