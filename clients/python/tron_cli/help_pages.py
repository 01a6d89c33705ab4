"""Writes the pages of `--help` as plain text, in which every option name is complete however narrow the terminal is.

Typer's own pages are tables for `rich`: they cut off long option names, show a type for flags, and write arguments in
braces. Commands and groups that a `CommandLine` creates have the pages of this module instead.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

WIDEST_PAGE = 100
"""The width of a page in a wider terminal, in columns."""

_INDENT = 2
_WIDEST_NAMES = 30
_GAP = 2


class _PlainPage:
    """The parts that the help pages of commands and groups have in common."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line after the name of the command."""
        return _usage(self, ctx, super().collect_usage_pieces(ctx))  # type: ignore[misc]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the paragraphs about the command."""
        _write_paragraphs(self, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the options."""
        _write_parameters(self, ctx, formatter)


class PlainCommand(_PlainPage, TyperCommand):
    """A command with a plain help page."""


class PlainGroup(_PlainPage, TyperGroup):
    """A group of commands with a plain help page. The page lists the commands in sections, one for each
    `rich_help_panel`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the options and the commands."""
        super().format_options(ctx, formatter)
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            about = " ".join((command.help or "").partition("\n\n")[0].split())
            sections.setdefault(command.rich_help_panel or "Commands", []).append((name, about))
        _write_sections(formatter, sections)


class CommandLine(typer.Typer):
    """A Typer app whose commands and groups have plain help pages."""

    def __init__(self, **settings: Any) -> None:
        # The mode decides how errors are printed, too: a table would break the lines that a program searches.
        super().__init__(cls=PlainGroup, rich_markup_mode=None, **settings)

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = None, **settings: Any
    ) -> Callable[[Any], Any]:
        """Return a decorator that adds a function as a command."""
        return super().command(name, cls=cls or PlainCommand, **settings)


def _usage(command: Any, context: Any, pieces: Iterable[str]) -> list[str]:
    """Return the words of a usage line, in which each argument is written as its metavar, without braces."""
    own = {
        piece: each.metavar
        for each in command.get_params(context)
        if isinstance(each, TyperArgument) and each.metavar
        for piece in each.get_usage_pieces(context)
    }
    return [own.get(piece, piece) for piece in pieces]


def _write_parameters(command: Any, context: Any, formatter: Any) -> None:
    sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for each in command.get_params(context):
        record = each.get_help_record(context)
        if record is None:
            continue  # it is hidden
        if isinstance(each, TyperArgument):
            sections["Arguments"].append((each.metavar or record[0], record[1]))
        else:
            sections.setdefault(getattr(each, "rich_help_panel", None) or "Options", []).append(record)
    _write_sections(formatter, sections)


def _write_sections(formatter: Any, sections: dict[str, list[tuple[str, str]]]) -> None:
    """Write titles with rows below them. A name that is too long for its column has a line of its own."""
    for title, rows in sections.items():
        if not rows:
            continue
        names = [len(name) for name, _ in rows]
        column = max((each for each in names if each <= min(_WIDEST_NAMES, formatter.width // 3)), default=0)
        indent = " " * (_INDENT + column + _GAP)
        formatter.write(f"\n{title}:\n")
        for name, text in rows:
            lines = _wrapped(text, formatter.width, indent)
            if len(name) <= column and lines:
                lines[0] = f"{' ' * _INDENT}{name:<{column}}{lines[0][_INDENT + column :]}"
            else:
                lines.insert(0, f"{' ' * _INDENT}{name}")
            formatter.write("".join(f"{line}\n" for line in lines))


def _write_paragraphs(command: Any, formatter: Any) -> None:
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines = _wrapped(paragraph, formatter.width, " " * _INDENT)
        formatter.write("".join(f"{line}\n" for line in ["", *lines]))


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    """Return a text as indented lines. A word with hyphens, such as the name of an option, is never divided."""
    words = " ".join(text.split())
    return textwrap.wrap(
        words, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )
