"""Reads the files of a server's certificate, and detects when they change."""

from __future__ import annotations

import os
from pathlib import Path

from tron_client.tls_files import MOST_BYTES, FileStamp, file_stamp

from grid_hosting.certificates import CertificateError, Material
from grid_hosting.security import SecuritySettings
from grid_hosting.start import absolute, reason, shared_file

Signature = tuple[FileStamp | None, ...]
"""A value that changes if one of the certificate files is replaced or written."""


def read_material(settings: SecuritySettings) -> Material:
    """Return the contents of the certificate files in the settings. Raises CertificateError if a file cannot be read,
    or if users other than its owner have access to the key."""
    cert, key = settings.cert, settings.key
    if cert is None or key is None:
        raise CertificateError("cert: is not set")
    client_ca = b"" if settings.client_ca is None else read_file("client_ca", settings.client_ca)
    if settings.client_ca is not None and not client_ca:
        raise CertificateError(f"client_ca: {absolute(settings.client_ca)} is empty")
    return Material(read_file("cert", cert), read_file("key", key, private=True), client_ca)


def read_file(setting: str, path: Path, *, private: bool = False) -> bytes:
    """Return the content of the file of a setting. `private`: only its owner may have access to the file. Raises
    CertificateError."""
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
    """Return a value that changes when one of the certificate files in the settings changes or disappears."""
    return tuple(file_stamp(path) for path in (settings.cert, settings.key, settings.client_ca) if path is not None)
