"""Reads the public keys of issuers from files and https URLs: in the background, at fixed intervals, and never because
a caller sent a token."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog
from tron_client.tls_files import file_stamp

from grid_hosting.access.jwt_keys import MOST_BYTES, Algorithm, KeySet, read_keys
from grid_hosting.issuer_http import IssuerHttp, IssuerUnreachableError
from grid_hosting.jwt_settings import JwtIssuer
from grid_hosting.settled_files import SettledFiles
from grid_hosting.start import StartError, absolute, reason

log = structlog.get_logger("access")

LOOK_EVERY = 1.0
"""Seconds between two checks whether a file has changed."""

FETCH_EVERY = 300.0
"""Seconds between two requests to a URL: issuers publish a key long before they sign with it."""

KEPT_FOR = 24 * 3600.0
"""Seconds for which keys remain valid while their URL cannot be read."""

Replace = Callable[[str, KeySet | None], None]
"""A function that receives the URL of an issuer and its current keys; None instead of the keys if they are not
known."""


class FileKeys:
    """Reads the keys of one issuer from a file."""

    def __init__(self, settings: JwtIssuer, path: Path, replace: Replace) -> None:
        self._settings, self._path, self._replace = settings, path, replace
        self._files = SettledFiles(file_stamp(path))

    def load(self) -> None:
        """Read the keys from the file. Raises StartError if the file cannot be used."""
        try:
            keys = _read_file(self._path, self._settings.algorithm)
        except ValueError as error:
            raise StartError(f"{setting_of(self._settings)} keys_file: {error}") from None
        self._replace(self._settings.issuer, keys)

    def look(self) -> None:
        """Read the file again if it has changed. If the new file cannot be used, the earlier keys remain in use."""
        found = file_stamp(self._path)
        if not self._files.are_new(found):
            return
        self._files.used = found
        try:
            self.load()
        except StartError as error:
            log.error("jwt_keys_failed", issuer=self._settings.issuer, why=str(error))
        else:
            log.info("jwt_keys_loaded", issuer=self._settings.issuer)

    async def run(self) -> None:
        """Read the file again whenever it changes, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look()


class UrlKeys:
    """Reads the keys of one issuer from a URL."""

    def __init__(
        self,
        settings: JwtIssuer,
        url: str,
        replace: Replace,
        clock: Callable[[], float] = time.monotonic,
        http: IssuerHttp | None = None,
    ) -> None:
        """Raises StartError if the file of the setting `keys_ca` cannot be used."""
        self._settings, self._url, self._replace, self._clock = settings, url, replace, clock
        self._http = http or IssuerHttp(settings.keys_ca, f"{setting_of(settings)} keys_ca")
        self._content: bytes | None = None
        self._read_at = 0.0
        self._failing = False

    def load(self) -> None:
        """Do nothing, so that a server starts even if the issuer does not answer. `run` reads the keys."""

    async def run(self) -> None:
        """Read the URL at once, and then every FETCH_EVERY seconds, until cancelled."""
        await self._http.repeat(self.fetch, FETCH_EVERY)

    async def fetch(self) -> bool:
        """Read the keys from the URL once; return whether this succeeded."""
        issuer = self._settings.issuer
        try:
            content = await self._http.get(self._url, MOST_BYTES)
            keys = self._content if content == self._content else read_keys(content, self._settings.algorithm)
        except (IssuerUnreachableError, ValueError) as error:
            self._failed(f"{self._url} {error}" if isinstance(error, ValueError) else str(error))
            return False
        self._read_at = self._clock()
        if isinstance(keys, KeySet):
            self._content = content
            self._replace(issuer, keys)
            log.info("jwt_keys_loaded", issuer=issuer)
        self._failing = False
        return True

    def _failed(self, why: str) -> None:
        if self._content is not None and self._clock() - self._read_at > KEPT_FOR:
            self._content = None
            self._replace(self._settings.issuer, None)
            log.error("jwt_keys_expired", issuer=self._settings.issuer, why=why)
        elif not self._failing:  # once, and not for each attempt
            log.error("jwt_keys_failed", issuer=self._settings.issuer, why=why)
        self._failing = True


def key_source(settings: JwtIssuer, replace: Replace) -> FileKeys | UrlKeys:
    """Return the source of the keys of an issuer. Raises StartError."""
    if settings.keys_file is not None:
        return FileKeys(settings, settings.keys_file, replace)
    return UrlKeys(settings, settings.keys_url or "", replace)


def check_keys(issuers: Iterable[JwtIssuer]) -> None:
    """Read the key files of issuers, as a registry does when it starts. Raises StartError if one cannot be used."""
    for each in issuers:
        key_source(each, lambda _, __: None).load()


def setting_of(settings: JwtIssuer) -> str:
    """Return the name of an issuer's table in the settings, for error messages."""
    return f"[[security.jwt]] {settings.issuer}:"


def _read_file(path: Path, algorithm: Algorithm) -> KeySet:
    """Return the keys in a file. Raises ValueError, which names the file."""
    shown = absolute(path)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{shown}: {reason(error)}") from error
    if mode & 0o022:
        # Another user could add a key, and sign tokens for everybody.
        raise ValueError(
            f"{shown} can be changed by users other than its owner (mode {mode & 0o7777:04o}); run chmod go-w"
        )
    try:
        return read_keys(content, algorithm)
    except ValueError as error:
        raise ValueError(f"{shown} {error}") from None
