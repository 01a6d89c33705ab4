"""Reads certificates and keys, and says what is wrong with them, because gRPC would only fail to connect."""

from __future__ import annotations

import os
import re
import ssl
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tron_client.tls import Pem, TlsFiles

MOST_BYTES = 4 << 20
"""The greatest size of a file in bytes: enough for a bundle of thousands of certificates."""

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.+?-----END (?:[A-Z]+ )*PRIVATE KEY-----", re.DOTALL)

FileStamp = tuple[int, int, int]
"""When a file was written, its size and its inode. The stamp changes whenever the file is replaced."""

Stamp = tuple[FileStamp | None, ...]
"""The stamps of the CA, the certificate and the key; None for one that is not in a file."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The checked content of the files; None for a file that was not given."""

    ca: bytes | None
    cert: bytes | None
    key: bytes | None = field(repr=False)


def stamp_of(files: TlsFiles) -> Stamp:
    """Return the stamp of each of these files (see `file_stamp`), without reading the files."""
    paths = [pem.path if pem is not None else "" for pem in (files.ca, files.cert, files.key)]
    return tuple(file_stamp(path) if path else None for path in paths)


def file_stamp(path: str | os.PathLike[str]) -> FileStamp | None:
    """Return the stamp of a file (time of the last change, size and inode), without reading the file. Return None if
    the file cannot be found."""
    try:
        found = os.stat(path)  # noqa: PTH116 - at each call of a client
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_files(files: TlsFiles) -> Loaded:
    """Return the content of the files. Raises ValueError, whose text contains the argument or variable and the file, if
    a file cannot be read or contains no certificate or key, or if the key does not belong to the certificate."""
    ca = None if files.ca is None else _certificates(files.ca)
    if files.cert is None or files.key is None:
        return Loaded(ca, None, None)
    cert, key = _certificates(files.cert), _private_key(files.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # the least size of keys is for the server to decide
    try:
        load_pair(context, cert, key)
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            raise ValueError(f"{files.key}: is not the key of the certificate {files.cert}") from error
        raise ValueError(f"{files.key}: cannot be used with {files.cert} ({reason_of(error)})") from error
    return Loaded(ca, cert, key)


def exposed_key(files: TlsFiles) -> str:
    """Return the path of the key file if every user of this machine can read it, else an empty string."""
    path = "" if files.key is None else files.key.path
    try:
        return path if path and os.stat(path).st_mode & stat.S_IROTH else ""  # noqa: PTH116
    except OSError:
        return ""


def _content(pem: Pem) -> bytes:
    if isinstance(pem.given, bytes):
        return pem.given
    try:
        with open(pem.given, "rb") as file:  # noqa: PTH123 - a path with a null byte is a ValueError of ours, below
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{pem.named}: {pem.path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{pem.named}: {pem.path!r} is not a path ({error})") from error
    if len(content) > MOST_BYTES:
        raise ValueError(f"{pem}: is larger than {MOST_BYTES >> 20} MB")
    return content


def _certificates(pem: Pem) -> bytes:
    content = _content(pem)
    blocks = _CERTIFICATE.findall(content)
    if not blocks:
        there = "a private key, and no" if _KEY.search(content) else "no"
        raise ValueError(f"{pem}: has {there} certificate in it; it must be a PEM file (-----BEGIN CERTIFICATE-----)")
    found = b"\n".join(blocks) + b"\n"  # a bundle may have comments in any encoding
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"{pem}: has a damaged certificate in it") from error
    return found


def _private_key(pem: Pem) -> bytes:
    content = _content(pem)
    found = _KEY.search(content)
    if found is None:
        raise ValueError(f"{pem}: has no private key in it; it must be a PEM file (-----BEGIN PRIVATE KEY-----)")
    if b"ENCRYPTED" in found[0]:
        raise ValueError(f"{pem}: is encrypted with a password, which gRPC cannot ask for; decrypt the key")
    return content


def load_pair(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """Load a certificate and its key into a TLS context. Raises ssl.SSLError if they do not belong together. Does
    nothing on a system that has no files in memory (`memfd_create`), because a key must not be written to disk for a
    check."""
    if not hasattr(os, "memfd_create"):
        return
    with open(os.memfd_create("tron-key"), "w+b") as file:  # noqa: PTH123
        file.write(key + b"\n" + cert)
        file.flush()
        try:
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=b"")
        except FileNotFoundError:
            return  # no /proc


def reason_of(error: ssl.SSLError) -> str:
    """Return the reason that OpenSSL gives for an error, in lower-case words."""
    return (error.reason or str(error)).replace("_", " ").lower()


def own_problem(loaded: Loaded) -> str:
    """Return why no server can accept this client's certificate now (it has expired, or is not valid yet); empty if it
    is valid.

    The standard library cannot read the dates of a certificate, but verifies them in a handshake. So this function
    makes a handshake in memory, as both the client and the server.
    """
    if loaded.cert is None or loaded.key is None or not hasattr(os, "memfd_create"):
        return ""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is the anchor
    server.load_verify_locations(cadata=loaded.cert.decode("ascii", "replace"))
    for each in (server, client):
        load_pair(each, loaded.cert, loaded.key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return VALIDITY.get(error.verify_code, "")
            except ssl.SSLError:
                return ""
    return ""


VALIDITY = {9: "is not valid yet (is the clock of this machine right?)", 10: "has expired"}
"""The meaning of OpenSSL's error codes for the dates of a certificate."""
