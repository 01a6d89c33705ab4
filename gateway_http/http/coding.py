"""Decompresses request bodies within a bound. Pure."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable

UNDERSTOOD = ("gzip", "deflate")
"""The content codings that are read."""

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_RAW = -zlib.MAX_WBITS

_UNICODE = ("utf-8", "ascii", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le")
"""Charsets in which JSON is recognized without further information."""

_SINGLE_BYTE = ("iso8859-1", "iso8859-15", "cp1252")
"""Those that are turned into UTF-8, byte by byte."""


class TooLarge(Exception):
    """The decompressed body is larger than allowed."""


class Unreadable(Exception):
    """The body is not valid in its declared coding."""


def codings_of(values: Iterable[bytes]) -> list[str]:
    """Return the codings that were applied to a body, in the reverse order, from the values of Content-Encoding;
    without `identity`."""
    words = [word.strip().lower() for value in values for word in value.decode("latin-1").split(",")]
    return [word for word in words if word not in ("", "identity")]


def is_understood(coding: str) -> bool:
    """Return whether `Decoder` can decode that coding."""
    return coding in _WINDOWS


def charset_of(content_type: bytes) -> str:
    """Return the charset that a content type names, in lower case; empty if it names none."""
    for parameter in content_type.decode("latin-1").split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'").lower()
    return ""


def codec_of(charset: str) -> str | None:
    """Return the codec that converts text of this charset to UTF-8; an empty string if no conversion is needed, and
    None if the charset is not supported."""
    try:
        name = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        return None
    return "" if name in _UNICODE else name if name in _SINGLE_BYTE else None


class Decoder:
    """Undoes one coding, piece by piece; takes and gives at most `limit` bytes."""

    def __init__(self, coding: str, limit: int) -> None:
        """`coding` is one that `is_understood`."""
        self._coding = coding
        self._limit = limit
        self._size = 0
        self._taken = 0
        self._began = False
        self._inflate = zlib.decompressobj(_WINDOWS[coding])

    def feed(self, data: bytes) -> bytes:
        """Return the decoded bytes of one part of the body. Raises TooLarge, Unreadable."""
        self._taken += len(data)
        if self._taken > self._limit:
            raise TooLarge
        decoded = b""
        while data:
            if not self._began and self._coding == "deflate" and not _has_zlib_header(data):
                self._inflate = zlib.decompressobj(_RAW)  # as many clients understand the word
            self._began = True
            if self._inflate.eof:
                # gzip: files one after another are one file.
                if self._coding == "deflate":
                    raise Unreadable(f"the body goes on after its {self._coding} data end")
                self._inflate = zlib.decompressobj(_WINDOWS[self._coding])
            try:
                piece = self._inflate.decompress(data, self._limit - self._size + 1)
            except zlib.error:
                raise Unreadable(f"the body is no {self._coding} data, as its content-encoding says") from None
            self._size += len(piece)
            if self._size > self._limit:
                raise TooLarge
            decoded += piece
            data = self._inflate.unconsumed_tail or self._inflate.unused_data
        return decoded

    def end(self) -> None:
        """Check the end of the body. Raises Unreadable if the body was cut off; an empty body is complete."""
        if self._began and not self._inflate.eof:
            raise Unreadable(f"the {self._coding} data of the body are cut off")


def _has_zlib_header(data: bytes) -> bool:
    return data[0] & 0x0F == 8 and (len(data) < 2 or (data[0] * 256 + data[1]) % 31 == 0)
