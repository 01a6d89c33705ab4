"""Decompresses request bodies up to a maximum size, and recognizes their charsets. Pure."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Iterable

UNDERSTOOD = ("gzip", "deflate")
"""The content codings that Accept-Encoding and error messages list as supported."""

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_RAW = -zlib.MAX_WBITS

_UNICODE = ("utf-8", "ascii", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le")
"""Charsets in which JSON is recognized without further information."""

_SINGLE_BYTE = ("iso8859-1", "iso8859-15", "cp1252")
"""Charsets with one byte for each character, which are converted to UTF-8."""


MOST_MEMBERS = 16
"""Maximum number of gzip files that one body may consist of. Compressors write one. The rest of the data is copied at
the end of each file, and small files would cost time in proportion to the square of their number."""


class TooLarge(Exception):
    """The body is larger than allowed, before or after decompression."""


class Unreadable(Exception):
    """The body is not valid data of its declared content coding."""


def codings_of(values: Iterable[bytes]) -> list[str]:
    """Return the content codings in the values of Content-Encoding, in lower case and in the order in which they were
    applied; `identity` is left out."""
    words = [word.strip().lower() for value in values for word in value.decode("latin-1").split(",")]
    return [word for word in words if word not in ("", "identity")]


def is_understood(coding: str) -> bool:
    """Return whether `Decoder` can decode this content coding."""
    return coding in _WINDOWS


def charset_of(content_type: bytes) -> str:
    """Return the parameter `charset` of a content type, in lower case; an empty string if there is none."""
    for parameter in content_type.decode("latin-1").split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'").lower()
    return ""


def codec_of(charset: str) -> str | None:
    """Return the name of the Python codec that decodes text in this charset; an empty string if the text needs no
    conversion, and None if the charset is not supported."""
    try:
        name = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        return None
    return "" if name in _UNICODE else name if name in _SINGLE_BYTE else None


class Decoder:
    """Decompresses one body, part by part. Neither the compressed nor the decompressed body may be larger than `limit`
    bytes."""

    def __init__(self, coding: str, limit: int) -> None:
        """`coding` must be one for which `is_understood` returns True."""
        self._coding = coding
        self._limit = limit
        self._size = 0
        self._taken = 0
        self._began = False
        self._members = 1
        self._inflate = zlib.decompressobj(_WINDOWS[coding])

    def feed(self, data: bytes) -> bytes:
        """Return the decompressed bytes of one part of the body. Raises TooLarge if the body exceeds the limit, and
        Unreadable if the data is not valid."""
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
                    raise Unreadable(f"the body contains more data after the end of its {self._coding} data")
                self._members += 1
                if self._members > MOST_MEMBERS:
                    raise Unreadable(f"the body consists of more than {MOST_MEMBERS} {self._coding} files")
                self._inflate = zlib.decompressobj(_WINDOWS[self._coding])
            try:
                piece = self._inflate.decompress(data, self._limit - self._size + 1)
            except zlib.error:
                raise Unreadable(
                    f"the content-encoding is {self._coding}, but the body is not valid {self._coding} data"
                ) from None
            self._size += len(piece)
            if self._size > self._limit:
                raise TooLarge
            decoded += piece
            data = self._inflate.unconsumed_tail or self._inflate.unused_data
        return decoded

    def end(self) -> None:
        """Check that the body is complete. Raises Unreadable if it was cut off; an empty body is complete."""
        if self._began and not self._inflate.eof:
            raise Unreadable(f"the {self._coding} data in the body is incomplete")


def _has_zlib_header(data: bytes) -> bool:
    return data[0] & 0x0F == 8 and (len(data) < 2 or (data[0] * 256 + data[1]) % 31 == 0)
