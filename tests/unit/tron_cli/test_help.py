"""The pages of `--help`: in a narrow terminal, too, a user can read each option and type it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from tron_cli.app import app
from typer.core import TyperArgument, TyperOption

from tests.support.commands import run_tron

WIDTHS = (80, 60)
PASSED_ON = {"registry", "monitor", "gateway"}
"""Commands whose `--help` is that of the program that they run."""


def contexts() -> Iterator[Any]:
    """Yield a context of each command and group, with its parent."""
    waiting = [typer.Context(typer.main.get_command(app), info_name="tron", **settings_of(typer.main.get_command(app)))]
    while waiting:
        context: Any = waiting.pop()
        yield context
        for name, command in getattr(context.command, "commands", {}).items():
            waiting.append(typer.Context(command, info_name=name, parent=context, **settings_of(command)))


def settings_of(command: Any) -> dict[str, Any]:
    """Return the settings that a command has for its context."""
    return dict(command.context_settings)


PAGES = {context.command_path: context for context in contexts()}


def page(path: str, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a page in a terminal with this many columns."""
    monkeypatch.setenv("COLUMNS", str(width))
    return str(PAGES[path].get_help())


def parameters(path: str, kind: type[TyperOption] | type[TyperArgument]) -> list[Any]:
    """Return the visible parameters of one kind."""
    command = PAGES[path].command
    return [each for each in command.get_params(PAGES[path]) if isinstance(each, kind) and not each.hidden]


def heads(text: str) -> dict[str, str]:
    """Return what a page shows before the help of each option, such as `-n, --limit N`, by the names in it."""
    found = [re.split(r"  +", line)[0] for line in re.findall(r"^  (-.*)$", text, re.MULTILINE)]
    return {name: head for head in found for name in re.split(r"[ ,/]+", head) if name.startswith("-")}


def names_of(option: TyperOption) -> list[str]:
    """Return all names of an option, as a user types them."""
    return [*option.opts, *option.secondary_opts]


def test_all_commands_are_walked() -> None:
    assert {"tron", "tron up", "tron alerts", "tron alerts ack", "tron token create", "tron ca renew"} <= set(PAGES)
    assert len(PAGES) > 40


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", PAGES)
def test_every_option_is_named_in_full(path: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(path, width, monkeypatch)
    options = parameters(path, TyperOption)
    assert {name for each in options for name in names_of(each)} <= set(heads(text))
    assert "…" not in text
    assert not re.search(r"[a-z]-$", text, re.MULTILINE), "no name is divided at a hyphen"
    assert options or path.removeprefix("tron ") in PASSED_ON


@pytest.mark.parametrize("path", PAGES)
def test_a_flag_shows_no_type_and_every_other_option_its_value(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(path, 80, monkeypatch)
    for each in parameters(path, TyperOption):
        head = heads(text)[each.opts[0]]
        values = [word for word in re.split(r"[ ,/]+", head) if not word.startswith("-")]
        assert bool(values) is not each.is_flag, head
    assert not re.search(r"<\w+( range)?>", text)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_the_terminal(path: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [line for line in page(path, width, monkeypatch).splitlines() if len(line) > width] == []


@pytest.mark.parametrize("path", PAGES)
def test_a_usage_line_has_the_usual_notation(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = page(path, 80, monkeypatch).partition("\n\n")[0]
    assert not set("{}<>") & set(usage)
    assert " ".join(usage.split()).startswith(f"Usage: {path} [OPTIONS]")
    for each in parameters(path, TyperArgument):
        assert each.required is not each.metavar.startswith("["), f"{each.metavar} says whether it may be left out"
        assert each.metavar in usage


def test_usage_lines_are_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {path: page(path, 80, monkeypatch).partition("\n")[0] for path in PAGES}
    assert shown["tron run"] == "Usage: tron run [OPTIONS] -- CMD [ARGS]..."
    assert shown["tron explain"] == "Usage: tron explain [OPTIONS] ID"
    assert shown["tron policy"] == "Usage: tron policy [OPTIONS] [NAME=VALUE]..."
    assert shown["tron alerts"] == "Usage: tron alerts [OPTIONS] COMMAND [ARGS]..."


def test_commands_are_listed_by_their_purpose_with_whole_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page("tron", 80, monkeypatch)
    headings = ["Run the system", "Inspect", "Manage agents and policy", "Secure the system"]
    assert [heading for heading in re.findall(r"^(.+):$", text, re.MULTILINE) if heading in headings] == headings
    assert "..." not in text.partition("\n")[2]


def test_the_command_prints_the_page_for_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in WIDTHS:
        done = run_tron("up", "--help", env=os.environ | {"COLUMNS": str(width)})
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.rstrip("\n") == page("tron up", width, monkeypatch)
