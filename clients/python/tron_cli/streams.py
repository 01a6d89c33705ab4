"""Lets commands print reliably if the encoding lacks a character, the disk is full, or nobody reads the output.

Rich, typer and `print` all write through the streams that `guard_streams` installs. A character that the encoding lacks
is written as a similar character, or as its escape sequence. If stdout cannot be written, OutputFailed is raised; text
that cannot be written to stderr is dropped, because nobody could read an error about it either.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIKE = str.maketrans(
    {"●": "*", "◐": "~", "✖": "x", "→": "->", "–": "-", "—": "-", "…": "...", "·": "-", "×": "x", "≥": ">=", "≤": "<="}
)
"""Similar characters, which are written in place of those that our output uses if the encoding lacks them."""

_ERRORS = "tron.like"


class OutputFailed(Exception):
    """Standard output could not be written. `gone` is True if the program that reads the output, such as `head`, has
    closed it."""

    def __init__(self, error: OSError | ValueError) -> None:
        self.gone = isinstance(error, OSError) and error.errno == errno.EPIPE
        super().__init__(f"cannot write the output: {getattr(error, 'strerror', None) or error}")


class _Stdout(io.TextIOWrapper):
    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except (OSError, ValueError) as error:
            raise OutputFailed(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except (OSError, ValueError) as error:
            raise OutputFailed(error) from error


class _Stderr(io.TextIOWrapper):
    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except (OSError, ValueError):
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except (OSError, ValueError):
            return


def guard_streams() -> None:
    """Replace stdout and stderr by guarded streams, and open /dev/null in place of each standard stream that is
    closed."""
    # A file that is opened later must not get such a number: it would be taken for the stream.
    _occupy(0, os.O_RDONLY)
    _occupy(1, os.O_RDONLY)  # whatever is written to it fails, as it does for every other program
    _occupy(2, os.O_WRONLY)
    codecs.register_error(_ERRORS, _like)
    # rich takes it for the width, and prints nothing at all into a width of 0.
    if not os.environ.get("COLUMNS", "1").isdecimal() or int(os.environ.get("COLUMNS", "1")) < 1:
        del os.environ["COLUMNS"]
    sys.stdout = _guarded(_Stdout, sys.stdout, 1)
    sys.stderr = _guarded(_Stderr, sys.stderr, 2)


@contextlib.contextmanager
def even_unread() -> Iterator[None]:
    """Let the block print without errors: if stdout cannot be written, its text is dropped."""
    try:
        yield
        sys.stdout.flush()
    except OutputFailed:
        drop_output()


def drop_output() -> None:
    """Discard all text that has not been written to stdout yet, so that Python prints no error when the process
    ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _occupy(number: int, flags: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, flags)
        if opened == number:
            os.set_inheritable(number, True)
            return
        os.dup2(opened, number)
        os.close(opened)


def _guarded(kind: type[io.TextIOWrapper], stream: IO[str] | None, number: int) -> IO[str]:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    line_buffering = number == 2 or (stream is not None and stream.isatty())
    if isinstance(stream, io.TextIOWrapper):
        stream.flush()
        buffer = stream.detach()
    else:
        buffer = open(number, "wb", closefd=False)  # noqa: SIM115 - it lives as long as the process
    return kind(buffer, encoding=encoding, errors=_ERRORS, line_buffering=line_buffering)


def _like(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_instead(sign, error.encoding) for sign in lacking), error.end


def _instead(sign: str, encoding: str) -> str:
    like = sign.translate(_LIKE)
    if like != sign:
        return like
    return sign.encode("ascii", "backslashreplace").decode("ascii")
