"""Prints the output of commands: rich text for people, JSON on stdout for programs, errors as one line on stderr.

On a terminal, tables fit the window. In a pipe or a file there is no window: each row is one line, without wrapping,
truncation or color, so that `grep` finds the content. Control characters in data from outside are printed as escapes,
so that the terminal never interprets them.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from grid_model.moments import local
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDEST_COLUMN = 40
"""The widest column in a pipe, in characters. A longer value only shifts the rest of its own row to the right."""

NARROWEST_TABLE = 60
"""The narrowest terminal, in columns, in which tables are printed. In a narrower one each row is printed as one line,
as in a pipe, because the columns of a table would vanish."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_SYMBOLS = {"ALIVE": ("●", "green"), "SUSPECT": ("◐", "yellow"), "DOWN": ("✖", "red"), "UNKNOWN": ("?", "dim")}
_SEVERITY_COLOURS = {"INFO": "green", "WARNING": "yellow", "CRITICAL": "red"}


class Output(Console):
    """A console that prints a table as plain lines if the output is not a terminal, or if the terminal is narrow."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts with markup, and tables. Control characters in them are printed as escapes."""
        if not self.file.isatty():
            options |= {"soft_wrap": True, "highlight": False}
        if not self.file.isatty() or self.width < NARROWEST_TABLE:
            if any(isinstance(each, Table) for each in objects):
                options |= {"soft_wrap": True, "highlight": False}
            objects = tuple(Text("\n".join(plain_rows(each))) if isinstance(each, Table) else each for each in objects)
        for table in (each for each in objects if isinstance(each, Table)):
            for column in table.columns:
                column._cells[:] = [visible(cell) if isinstance(cell, str) else cell for cell in column.cells]  # noqa: SLF001
        super().print(*(visible(each) if isinstance(each, str) else each for each in objects), **options)


out = Output()


def plain_rows(table: Table) -> list[str]:
    """Return a table as plain lines: its title, if it has one, its headings, and one line for each row. A column is as
    wide as its longest value; values longer than `WIDEST_COLUMN` characters do not count."""
    columns = [[_plain(column.header), *map(_plain, column.cells)] for column in table.columns]
    if not table.show_header:
        columns = [column[1:] for column in columns]
    widths = [max((len(cell) for cell in column if len(cell) <= WIDEST_COLUMN), default=0) for column in columns]
    title = [_plain(table.title)] if table.title else []
    return title + ["  ".join(map(str.ljust, row, widths)).rstrip() for row in zip(*columns, strict=True)]


def _plain(cell: Any) -> str:
    # Before the markup is read: rich would drop some control characters silently.
    return Text.from_markup(one_line(cell)).plain if isinstance(cell, str) else one_line(str(cell))


def visible(text: str) -> str:
    """Return the text with every unprintable character, except line breaks, replaced by its escape sequence."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else _escape(sign) for sign in text)


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape", "surrogatepass").decode("ascii")


def one_line(text: str) -> str:
    """Return the text as one line: line breaks and other unprintable characters are replaced by their escape
    sequences."""
    return visible(text).replace("\n", "\\n")


def fail(message: str, *, code: int = 1) -> NoReturn:
    """Print an error as one line on stderr, and end the command with the exit code `code`."""
    print(f"tron: {visible(' '.join(message.split()))}", file=sys.stderr)
    raise typer.Exit(code)


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document on one line and flush it, because another program may read the stream line by line."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower()
    text = json.dumps(document, ensure_ascii=not encoding.startswith("utf"), default=str)
    # A lone surrogate is no character in any encoding; JSON has an escape for it.
    print(_SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text), flush=True)


def liveness_markup(liveness: str) -> str:
    """Return a liveness, such as ALIVE, as rich markup: a symbol and the word, in color."""
    symbol, colour = _SYMBOLS.get(liveness, ("?", "dim"))
    return f"[{colour}]{symbol} {liveness or 'UNKNOWN'}[/]"


def severity_markup(severity: str) -> str:
    """Return a severity, such as CRITICAL, as rich markup: the word, in color."""
    return f"[{_SEVERITY_COLOURS.get(severity, 'dim')}]{severity}[/]"


def clock_time(moment: datetime | None) -> str:
    """Return a time as local date and time, to the second; "" for None."""
    return "" if moment is None else local(moment).strftime("%Y-%m-%d %H:%M:%S")


def age(moment: datetime | None, now: datetime | None) -> str:
    """Return how long ago a time was, in one or two units; "never" for None.

    `now` is the current time of the server that set the timestamp; with None the clock of this machine is used.
    """
    if moment is None:
        return "never"
    seconds = max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds())
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for unit, size, smaller, smaller_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"
