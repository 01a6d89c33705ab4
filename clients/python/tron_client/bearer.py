"""The bearer token of a client: from a file, which is read again after it was replaced, or from TRON_TOKEN.

A token is sent only over TLS, or to this machine. It is taken from the Endpoint, else from the environment, else from
the profile.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tron_client.tls_files import FileStamp, file_stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tron_client.address import Address

_log = logging.getLogger("tron_client")

FILE_VARIABLE, VARIABLE = "TRON_TOKEN_FILE", "TRON_TOKEN"

MOST_BYTES = 8192
"""The greatest length of a token, in bytes."""

MOST_FILES = 64
"""The greatest number of files whose tokens are kept in memory. Overflow rule: the token that was not used for the
longest time is dropped, and its file is read again."""


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where a token comes from: the path of a file, or the token itself. `named` is the argument, environment variable
    or setting that contained the path or the token. Error messages show `named`; comparisons ignore `named`."""

    path: str = ""
    text: str = field(default="", repr=False)
    named: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.named} {self.path}".rstrip()


NO_TOKEN = TokenSource()
"""The source for a client that sends no token, even if the environment contains one."""


def token_file(named: str, path: object) -> TokenSource:
    """Return a source of tokens that reads the file at `path`. `named` is the argument, environment variable or setting
    that `path` comes from, for messages. Raises TypeError if `path` is not a path, and ValueError if it is empty."""
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str):
        raise TypeError(f"{named}: must be the path of a file, not {type(path).__name__}")
    if not path:
        raise ValueError(f"{named}: is empty; give the path of a file with a token")
    return TokenSource(os.path.abspath(path), named=named)  # noqa: PTH100


def of_environment(environ: Mapping[str, str]) -> TokenSource | None:
    """Return the source that TRON_TOKEN_FILE or TRON_TOKEN gives; None if neither is set. An empty variable counts as
    not set. Raises ValueError if both are set."""
    path, text = environ.get(FILE_VARIABLE, "").strip(), environ.get(VARIABLE, "")
    if path and text:
        raise ValueError(f"{FILE_VARIABLE} and {VARIABLE}: both are set; set one of them")
    if path:
        return token_file(FILE_VARIABLE, path)
    return TokenSource(text=text, named=VARIABLE) if text else None


def checked_token(source: TokenSource, content: bytes) -> str:
    """Return the token in the content of a file or an environment variable, without a line break at its end. Raises
    ValueError if the content is empty, too long, or not a single word of printable ASCII characters."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"{source}: is longer than {MOST_BYTES} bytes; it must contain one token")
    text = content.decode("ascii", "replace").removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{source}: contains no token")
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError(f"{source}: must contain one token and nothing else: ASCII characters without white space")
    return text


def require_protected(address: Address, source: TokenSource, *, tls: bool) -> None:
    """Raise ValueError if the token would be sent in plaintext to another machine."""
    if not tls and not address.local:
        raise ValueError(
            f"{source.named}: a token is sent only over TLS, or to this machine, but {address} is another machine "
            "and TLS is not used; set TRON_CA (or ca=)"
        )


class _Tokens:
    """The tokens of files. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[FileStamp | None, str]] = OrderedDict()

    def read(self, source: TokenSource) -> str:
        """Return the newest token of a source. If a file has become invalid, the earlier token stays in use, and a line
        is logged. Raises ValueError if the source never was valid."""
        if source.text:
            return checked_token(source, source.text.encode())
        with self._lock:
            stamp = file_stamp(source.path)
            kept = self._kept.get(source.path)
            if kept is not None and kept[0] == stamp:
                self._kept.move_to_end(source.path)
                return kept[1]
            try:
                token = checked_token(source, _content(source))
            except ValueError as error:
                if kept is None:
                    raise
                _log.warning("token_reload_failed why=%s; the earlier token stays in use", error)
                token = kept[1]
            self._kept[source.path] = stamp, token
            self._kept.move_to_end(source.path)
            while len(self._kept) > MOST_FILES:
                self._kept.popitem(last=False)
            return token

    def after_fork(self) -> None:
        """Replace the lock in a forked child, because a thread of the parent process may hold it."""
        self._lock = threading.Lock()


def _content(source: TokenSource) -> bytes:
    try:
        with open(source.path, "rb") as file:  # noqa: PTH123
            if os.fstat(file.fileno()).st_mode & stat.S_IROTH:
                _log.warning(
                    "token_exposed file=%s why=every user of this machine can read it; run: chmod 600", source.path
                )
            return file.read(MOST_BYTES + 3)
    except OSError as error:
        raise ValueError(f"{source.named}: {source.path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{source.named}: {source.path!r} is not a path ({error})") from error


_tokens = _Tokens()
os.register_at_fork(after_in_child=_tokens.after_fork)  # `forks` would load grpc, before `tron run` starts its program


def read_token(source: TokenSource) -> str:
    """Return the current token of a source. Raises ValueError, whose text contains the setting and the file, if there
    is no valid token."""
    return _tokens.read(source)


def with_token(metadata: object, source: TokenSource) -> list[tuple[str, str | bytes]]:
    """Return the metadata of a call with the current token added."""
    before: list[tuple[str, str | bytes]] = list(metadata or ())  # type: ignore[call-overload]
    return [*before, ("authorization", f"Bearer {read_token(source)}")]
