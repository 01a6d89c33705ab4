"""The credentials with which a connection is opened. They are read from files, kept in memory, and read again after a
file was replaced."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from tron_client import forks
from tron_client.bearer import read_token
from tron_client.endpoint import Endpoint
from tron_client.profiles import files_for, token_for
from tron_client.tls_files import exposed_key, read_files, stamp_of

if TYPE_CHECKING:
    from tron_client.address import Address
    from tron_client.tls import TlsFiles
    from tron_client.tls_files import Loaded, Stamp

_log = logging.getLogger("tron_client")

MOST = 64
"""The greatest number of sets of files whose credentials are kept; a process uses one or two. Overflow rule: the set
that was not used for the longest time is dropped, and is read again when it is used."""


@dataclass(slots=True)
class _Kept:
    stamp: Stamp
    content: bytes
    credentials: grpc.ChannelCredentials


class _Store:
    """The credentials by their files. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[TlsFiles, _Kept] = OrderedDict()

    def newest(self, files: TlsFiles) -> grpc.ChannelCredentials:
        """Return the current credentials of the files; the same object as before while the content is the same.

        If files have become invalid, the earlier credentials stay in use, and a line is logged, because a renewal may
        be half done. Raises ValueError if the files never were valid.
        """
        with self._lock:
            kept = self._kept.get(files)
            stamp = stamp_of(files)
            if kept is not None and kept.stamp == stamp:
                self._kept.move_to_end(files)
                return kept.credentials
            try:
                loaded = read_files(files)
            except ValueError as error:
                if kept is None:
                    raise
                kept.stamp = stamp
                _log.warning("tls_reload_failed why=%s; the earlier files stay in use", error)
                return kept.credentials
            content = _digest(loaded)
            if kept is not None and kept.content == content:
                kept.stamp = stamp
                return kept.credentials
            if exposed := exposed_key(files):
                _log.warning("key_exposed file=%s why=every user of this machine can read it; run: chmod 600", exposed)
            made = grpc.ssl_channel_credentials(loaded.ca, loaded.key, loaded.cert)
            self._kept[files] = _Kept(stamp, content, made)
            self._kept.move_to_end(files)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
            if kept is not None:
                _log.info("tls_reloaded by=%s", files.asked_by)
            return made

    def after_fork(self) -> None:
        """Begin without credentials in a forked child. The credentials of the parent process are neither used nor
        destroyed there."""
        forks.keep(self._kept)
        self._lock, self._kept = threading.Lock(), OrderedDict()


def _digest(loaded: Loaded) -> bytes:
    digest = hashlib.sha256()
    for each in (loaded.ca, loaded.cert, loaded.key):
        digest.update(b"-" if each is None else b"+%d:" % len(each) + each)
    return digest.digest()


_store = _Store()
forks.watch(_store)


def credentials_of(address: Address) -> grpc.ChannelCredentials | None:
    """Return the credentials with which a connection to this address must be opened now; None means plaintext.

    The same object is returned until a file is renewed; a channel that was opened with another object must be replaced.
    Raises ValueError, whose text contains the setting and the file, if a file is invalid.
    """
    if isinstance(address, Endpoint) and address.credentials is not None:
        return address.credentials
    files = files_for(address, os.environ)
    return None if files is None else _store.newest(files)


Presented = tuple[object, str]
"""What a client presents to a server: the credentials of its connection, and the token of its calls; compared with
`==`."""


def presented_to(address: Address) -> Presented:
    """Return the credentials and the token that a client presents at this address now. The result changes when a file
    is renewed. Raises ValueError as `credentials_of` does."""
    source = token_for(address, os.environ)
    return credentials_of(address), "" if source is None else read_token(source)


def renews_unseen(address: Address) -> bool:
    """Return whether the program itself provides the credentials for this address (gRPC credentials or interceptors),
    so that `presented_to` does not show when they are renewed."""
    return isinstance(address, Endpoint) and (address.credentials is not None or bool(address.interceptors))
