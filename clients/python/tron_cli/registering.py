"""Registers the services of a catalogue for `tron register --catalogue`, each under its fixed id."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer
from rich.markup import escape
from rich.table import Table

from tron_cli.connection import refusal
from tron_cli.output import fail, out, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tron_client.client import RegistryClient

    from tron_cli.fleet_file import FleetFile, Row

CATALOGUES = "core (the six core services), pas (about thirty agents in a hierarchy), or the path of a TOML file"
"""The catalogues that an option accepts, for its help."""

# Whoever serves on this machine answers at once.
_KNOCK_SECONDS = 0.5


def load_catalogue(name_or_path: str) -> FleetFile:
    """Return a catalogue; end the command with one line if the catalogue is invalid."""
    from tron_cli.fleet_file import FleetFileError, load  # pydantic takes a while: only who needs it pays for it

    try:
        return load(name_or_path)
    except FleetFileError as error:
        fail(str(error), code=2)


def chosen(catalogue: FleetFile, word: str) -> Sequence[Row]:
    """Return the row with the key, id or name `word`; all rows if `word` is empty. End the command with a usage error
    if there is no such row."""
    if not word:
        return catalogue.rows
    row = catalogue.find(word)
    if row is None:
        known = ", ".join(each.key or each.service_id for each in catalogue.rows)
        raise typer.BadParameter(f"{word!r} is not one of {known}", param_hint="--service")
    return (row,)


def register_rows(client: RegistryClient, source: str, rows: Sequence[Row], as_json: bool) -> None:
    """Register rows and print the results. End the command with code 1 if the registry refused one.

    A service that is connected sends its own heartbeats, so it is skipped: registering it again would supersede it.
    """
    from tron_client.errors import InvalidRequest

    connected = {each.service_id for each in client.list_services().services if each.connected}
    outcomes: list[dict[str, object]] = []
    for row in rows:
        outcome, why = "registered", ""
        if row.service_id in connected:
            outcome = "present"
        else:
            try:
                client.register(**row.declaration())
            except (InvalidRequest, ValueError) as error:
                outcome, why = "refused", refusal(error)
        outcomes.append(
            {
                "service_id": row.service_id,
                "name": row.name,
                "key": row.key,
                "outcome": outcome,
                "why": why,
                "url": row.url,
                "answers": _answers(row.url),
            }
        )
    if as_json:
        print_json({"catalogue": source, "services": outcomes})
    else:
        _show(outcomes)
    if any(each["outcome"] == "refused" for each in outcomes):
        raise typer.Exit(1)


def _show(outcomes: Sequence[dict[str, object]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "name", "outcome", "at", "answers"):
        table.add_column(heading, overflow="fold")
    for each in outcomes:
        answers = {True: "yes", False: "no", None: ""}[each["answers"]]  # type: ignore[index]
        told = f"{each['outcome']}: {each['why']}" if each["why"] else str(each["outcome"])
        table.add_row(
            escape(str(each["service_id"])), escape(str(each["name"])), escape(told), str(each["url"]), answers
        )
    out.print(table)
    if any(each["outcome"] == "registered" for each in outcomes):
        out.print(
            "The command sends no heartbeats for these services: they are deregistered after three missed heartbeats."
        )


def _answers(url: str) -> bool | None:
    """Return whether a program accepts connections at a URL; None if the URL has no port."""
    try:
        address = urlsplit(url)
        if address.hostname is None or address.port is None:
            return None
        with socket.create_connection((address.hostname, address.port), _KNOCK_SECONDS):
            return True
    except ValueError:
        return None
    except OSError:
        return False
