"""Reads the files of a server's certificate, and notices that they were renewed."""

from __future__ import annotations

import os
from pathlib import Path

from tron_client.tls_files import MOST_BYTES, FileStamp, file_stamp

from grid_hosting.certificates import CertificateError, Material
from grid_hosting.security import SecuritySettings
from grid_hosting.start import absolute, reason, shared_file

Signature = tuple[FileStamp | None, ...]
"""Changes if one of the files was replaced or written."""


def read_material(settings: SecuritySettings) -> Material:
    """Return the contents of the files that the settings name. Raises CertificateError for a file that cannot be
    read, and for a key that others than its owner may read."""
    cert, key = settings.cert, settings.key
    if cert is None or key is None:
        raise CertificateError("cert: is not set")
    client_ca = b"" if settings.client_ca is None else read_file("client_ca", settings.client_ca)
    if settings.client_ca is not None and not client_ca:
        raise CertificateError(f"client_ca: {absolute(settings.client_ca)} is empty")
    return Material(read_file("cert", cert), read_file("key", key, private=True), client_ca)


def read_file(setting: str, path: Path, *, private: bool = False) -> bytes:
    """Return the content of a file. Raises CertificateError. `private`: only its owner may have access to it."""
    try:
        with path.open("rb") as file:
            if private and (why := shared_file(path, os.fstat(file.fileno()))):
                raise CertificateError(f"{setting}: {why}")
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise CertificateError(f"{setting}: {absolute(path)}: {reason(error)}") from error
    if len(content) > MOST_BYTES:
        raise CertificateError(f"{setting}: {absolute(path)} is larger than {MOST_BYTES >> 20} MB")
    return content


def signature(settings: SecuritySettings) -> Signature:
    """Return what changes when the files change; a file that is missing counts as changed."""
    return tuple(file_stamp(path) for path in (settings.cert, settings.key, settings.client_ca) if path is not None)
