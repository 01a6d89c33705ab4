"""Chooses the certificates of a connection: those of its arguments, else of the environment, else of a profile.

The certificate and the key of a client belong together, so a source that gives one of them must give both; the
certificate of the CA may come from another source. This module does no I/O.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

VARIABLES = {"ca": "TRON_CA", "cert": "TRON_CERT", "key": "TRON_KEY"}
"""The environment variables with the paths of the files."""
SERVER_NAME = "TRON_SERVER_NAME"
"""The environment variable with the name that the servers' certificates must have."""


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate or a key: the path of a PEM file, or its content. `named` is the argument, environment variable or
    setting that contained the path or the content. Error messages show `named`; comparisons ignore `named`."""

    given: str | bytes = field(repr=False)
    named: str = field(compare=False)

    @property
    def path(self) -> str:
        """The path of the file; empty if the content was given."""
        return self.given if isinstance(self.given, str) else ""

    def __str__(self) -> str:
        return f"{self.named} {self.path}".rstrip()


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The certificate of the CA that signed the server's certificate, and the certificate and key of this client. Each
    of them may be missing; without `ca`, the public CAs that gRPC knows are trusted. `server_name` is the name that the
    server's certificate must have; if it is empty, the certificate must have the host of the address."""

    ca: Pem | None = None
    cert: Pem | None = None
    key: Pem | None = None
    server_name: str = ""

    @classmethod
    def of(cls, files: Mapping[str, Pem], server_name: str) -> TlsFiles:
        """Return the files from a mapping with some of the keys `ca`, `cert` and `key`."""
        return cls(files.get("ca"), files.get("cert"), files.get("key"), server_name)

    @property
    def asked_by(self) -> str:
        """The argument, environment variable or setting because of which the connection uses TLS: the first one that
        gave a file. Error messages show it."""
        return next((each.named for each in (self.ca, self.cert, self.key) if each is not None), "")


NO_FILES = TlsFiles()


def from_arguments(ca: object, cert: object, key: object, server_name: object = None) -> TlsFiles:
    """Return the files and the server name that a program passed as arguments. Each file is a path, its content as
    bytes, or None.

    Raises TypeError for any other type, and ValueError for an empty path.
    """
    if not isinstance(server_name, str | None):
        raise TypeError(f"server_name: must be a string, not {type(server_name).__name__}")
    return TlsFiles(_argument("ca", ca), _argument("cert", cert), _argument("key", key), server_name or "")


def _argument(name: str, value: object) -> Pem | None:
    if value is None:
        return None
    if isinstance(value, bytes | bytearray):
        return Pem(bytes(value), name)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise TypeError(f"{name}: must be a path, or the content of a PEM file as bytes, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name}: is empty; give the path of a PEM file")
    return Pem(value, name)


def from_environment(environ: Mapping[str, str]) -> TlsFiles:
    """Return the files whose paths are in the environment variables; an empty variable counts as absent."""
    found = {name: environ.get(variable, "").strip() for name, variable in VARIABLES.items()}
    files = {name: Pem(path, VARIABLES[name]) for name, path in found.items() if path}
    return TlsFiles.of(files, environ.get(SERVER_NAME, "").strip())


def choose(*sources: TlsFiles) -> TlsFiles | None:
    """Return the files to use: each from the first source that gives it. Returns None, which means plaintext, if no
    source gives a file.

    Raises ValueError if a source gives a certificate without a key, or a key without a certificate.
    """
    ca = next((each.ca for each in sources if each.ca is not None), None)
    pair = next((each for each in sources if each.cert is not None or each.key is not None), NO_FILES)
    if pair.cert is not None and pair.key is None:
        raise ValueError(f"{pair.cert.named}: a certificate needs its key; give both")
    if pair.key is not None and pair.cert is None:
        raise ValueError(f"{pair.key.named}: a key needs its certificate; give both")
    name = next((each.server_name for each in sources if each.server_name), "")
    return None if ca is None and pair.cert is None else TlsFiles(ca, pair.cert, pair.key, name)


def name_to_verify(hosts: Sequence[str], files: TlsFiles) -> str:
    """Return the name that the certificate of a server on these hosts must have; for a Unix socket, `hosts` is empty.

    Raises ValueError for several hosts without a `server_name`, because gRPC verifies all servers of a list by one
    name.
    """
    if files.server_name:
        return files.server_name
    if len(set(hosts)) > 1:
        raise ValueError(
            "server_name: for several hosts, set a name that is in the certificates of all these hosts "
            f"(server_name= or {SERVER_NAME})"
        )
    return hosts[0] if hosts else "localhost"
