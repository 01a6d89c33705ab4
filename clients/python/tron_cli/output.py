"""How commands speak: people get rich text, programs get JSON on stdout, trouble is one line on stderr."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Mapping

# In a pipe there is no width to fit into: cutting an id to 80 columns would lose what was asked for.
out = Console(width=None if sys.stdout.isatty() else 250)

_SYMBOLS = {"ALIVE": ("●", "green"), "SUSPECT": ("◐", "yellow"), "DOWN": ("✖", "red"), "UNKNOWN": ("?", "dim")}
_SEVERITY_COLOURS = {"INFO": "green", "WARNING": "yellow", "CRITICAL": "red"}


def fail(message: str, *, code: int = 1) -> NoReturn:
    """Say what went wrong in one line on stderr, and end with `code`."""
    print(f"tron: {' '.join(message.split())}", file=sys.stderr)
    raise typer.Exit(code)


def print_json(document: Mapping[str, object]) -> None:
    """Print one JSON document on one line, at once: it may be a line of a stream that somebody reads."""
    print(json.dumps(document, ensure_ascii=False, default=str), flush=True)


def liveness_markup(liveness: str) -> str:
    """Return a judgement as symbol and word, with colour on top."""
    symbol, colour = _SYMBOLS.get(liveness, ("?", "dim"))
    return f"[{colour}]{symbol} {liveness or 'UNKNOWN'}[/]"


def severity_markup(severity: str) -> str:
    """Return a severity as a word, with colour on top."""
    return f"[{_SEVERITY_COLOURS.get(severity, 'dim')}]{severity}[/]"


def clock_time(moment: datetime | None) -> str:
    """Return a moment as local date and time, to the second; "" for None."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(moment: datetime | None, *, now: datetime | None = None) -> str:
    """Return how long ago a moment was, in one or two units; "never" for None."""
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
