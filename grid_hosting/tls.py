"""TLS for the ports of a program: loads the certificate, and uses renewed files for new connections.

A renewal does not affect open connections. gRPC and OpenSSL ask for the certificate at each handshake; they receive the
one that was loaded and checked before. So no handshake reads a file, and an invalid file does not break handshakes.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import structlog

from grid_hosting.certificates import Certificate, CertificateError, check, check_authorities, warning_due
from grid_hosting.security import SecuritySettings
from grid_hosting.settled_files import SettledFiles
from grid_hosting.start import StartError
from grid_hosting.tls_files import Signature, read_file, read_material, signature

log = structlog.get_logger("tls")

LOOK_EVERY = 1.0
"""Seconds between two checks whether the files have changed."""


class ServerTls:
    """The certificate of one program, for all of its ports. Raises StartError, with the name of the setting, if the
    certificate cannot be used."""

    def __init__(self, settings: SecuritySettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now
        self._files = SettledFiles(signature(settings))
        self._failed: Signature | None = None
        self._warned: timedelta | None = None
        self.reload_failures = 0
        """How often renewed files could not be used."""
        try:
            if settings.trusted is not None:
                check_authorities("ca", read_file("ca", settings.trusted))
            self.certificate, self._context, self._grpc = self._load()
        except CertificateError as error:
            raise StartError(f"[security] {error}") from error

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Return the server credentials for one gRPC port."""
        renewals = _Renewals(self._grpc, lambda: self._grpc)
        mutual = bool(self.certificate.material.client_ca)
        # The stubs do not know that None means no change.
        return grpc.dynamic_ssl_server_credentials(self._grpc, renewals, mutual)  # type: ignore[arg-type]

    def ssl_context(self) -> ssl.SSLContext:
        """Return the TLS context for an HTTP port; each handshake uses the certificate that is current then."""
        context = _context_of(self.certificate)

        def use_current(connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
            connection.context = self._context

        context.sni_callback = use_current
        return context

    async def watch(self) -> None:
        """Load renewed files, and log warnings before the certificate expires, until cancelled."""
        self.warn_of_end()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await asyncio.to_thread(self.look)
            self.warn_of_end()

    def look(self) -> None:
        """Load the files again if they differ from those in use, and have not changed since the last check."""
        found = signature(self._settings)
        if not self._files.are_new(found):
            return
        try:
            self.certificate, self._context, self._grpc = self._load()
        except CertificateError as error:
            # It is tried again at each look: a certificate may become valid later.
            if found != self._failed:
                self._failed = found
                self.reload_failures += 1
                log.error("tls_reload_failed", why=str(error), still_used_until=self._shown_end())
            return
        self._files.used, self._failed, self._warned = found, None, None
        log.info("tls_reloaded", valid_until=self._shown_end())

    def warn_of_end(self) -> None:
        """Log once that the certificate expires within 14 days, once that it expires within 3 days, and once that it
        has expired."""
        due = warning_due(self.certificate.not_after, self._now())
        if due is None or due == self._warned:
            return
        self._warned = due
        if due:
            log.warning("tls_certificate_ends_soon", within_days=due.days, valid_until=self._shown_end())
        else:
            log.error("tls_certificate_expired", valid_until=self._shown_end(), why="new connections fail")

    def _load(self) -> tuple[Certificate, ssl.SSLContext, grpc.ServerCertificateConfiguration]:
        certificate = check(read_material(self._settings), self._now())
        material = certificate.material
        configuration = grpc.ssl_server_certificate_configuration(
            [(material.key, material.cert)], root_certificates=material.client_ca or None
        )
        return certificate, _context_of(certificate), configuration

    def _shown_end(self) -> str:
        return self.certificate.not_after.isoformat()


def client_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a TLS context for HTTP requests to secured ports of this system, from the variables TRON_CA, TRON_CERT and
    TRON_KEY. Reads files. Raises OSError."""
    context = ssl.create_default_context(cafile=environ.get("TRON_CA") or None)
    if environ.get("TRON_CERT") and environ.get("TRON_KEY"):
        context.load_cert_chain(environ["TRON_CERT"], environ["TRON_KEY"])
    return context


class _Renewals:
    """gRPC calls this object for one port at each handshake, on a thread of gRPC. It returns the new certificate, or
    None if the certificate has not changed."""

    def __init__(
        self,
        used: grpc.ServerCertificateConfiguration,
        current: Callable[[], grpc.ServerCertificateConfiguration],
    ) -> None:
        self._used, self._current = used, current

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        current = self._current()
        if current is self._used:
            return None
        self._used = current
        return current


def _context_of(certificate: Certificate) -> ssl.SSLContext:
    """Return a TLS context for HTTP. Raises CertificateError if OpenSSL does not accept the certificate, for example
    because its key is short."""
    material = certificate.material
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would not be verified again, although its CA may have been removed.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    try:
        # The library takes only paths, and the files may have changed since they were checked.
        with _as_file(material.cert.rstrip() + b"\n" + material.key) as path:
            context.load_cert_chain(path)
        if material.client_ca:
            context.load_verify_locations(cadata=material.client_ca.decode("ascii", "replace"))
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, ValueError) as error:
        raise CertificateError(f"cert: is not accepted by OpenSSL: {error}") from error
    except OSError as error:
        raise CertificateError(f"cert: cannot be loaded: {error.strerror or error}") from error
    return context


@contextmanager
def _as_file(content: bytes) -> Iterator[Path]:
    """Yield the path of a file that only this process can read; on Linux it is in memory."""
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("tron-tls"), "wb") as file:
            file.write(content)
            file.flush()
            yield Path(f"/proc/self/fd/{file.fileno()}")
    else:
        with tempfile.TemporaryDirectory(prefix="tron-tls-") as folder:
            path = Path(folder, "pair.pem")
            path.touch(mode=0o600)
            path.write_bytes(content)
            yield path
