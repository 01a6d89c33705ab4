"""The command `tron audit`: the acts of operators and administrators, and what callers were refused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tron_client.address import DEFAULT_REGISTRY

from tron_cli import messages
from tron_cli.connection import JsonOption, RegistryOption, registry_errors
from tron_cli.output import clock_time, out, print_json
from tron_cli.tls_options import connects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tron_client.access import AccessClient, AuditRecord

FOLLOW_EVERY = 1.0
"""Seconds between two looks for new records."""

KINDS = ("act", "refusal", "dropped")


@connects
def audit(
    registry: RegistryOption = DEFAULT_REGISTRY,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new records too, until Ctrl-C.")] = False,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="How many of the newest records to print.")
    ] = 50,
    kind: Annotated[str, typer.Option(metavar="KIND", help="Only records of this kind: act, refusal or dropped.")] = "",
    actor: Annotated[str, typer.Option(metavar="PRINCIPAL", help="Only records of this principal.")] = "",
    method: Annotated[str, typer.Option(metavar="METHOD", help="Only records of this method, by its full name.")] = "",
    target: Annotated[str, typer.Option(metavar="ID", help="Only records about this id or name.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show who changed what, and what callers were refused.

    Needs the role admin. Each act of an operator or an administrator is a record;
    refusals of one kind within a minute share one, with their number.
    """
    if kind and kind.lower() not in KINDS:
        raise typer.BadParameter(messages.none_of(kind, KINDS), param_hint="--kind")
    from tron_client.access import AccessClient

    with registry_errors(registry), AccessClient(registry) as client:
        for record in _records(client, limit, follow, kind=kind, actor=actor, method=method, target=target):
            if as_json:
                print_json({name: getattr(record, name) for name in record.__dataclass_fields__})
            else:
                out.print(_line(record), highlight=False, markup=False, soft_wrap=True)


def _records(client: AccessClient, limit: int, follow: bool, **wanted: Any) -> Iterator[AuditRecord]:
    last = 0
    for record in client.list_audit_records(limit=limit, newest=True, **wanted).records:
        last = record.number
        yield record
    while follow:
        page = client.list_audit_records(last, limit=1000, **wanted)
        for record in page.records:
            last = record.number
            yield record
        if not page.next_after_number:
            time.sleep(FOLLOW_EVERY)


def _line(record: AuditRecord) -> str:
    method = record.method.rpartition("/")[2] or record.kind
    words = [clock_time(record.at), record.outcome or "-", record.actor or "-", method, record.target]
    if record.via:
        words.append(f"via {record.via}")
    if record.count > 1 or record.kind == "dropped":
        words.append(f"({record.count} times)")
    return "  ".join(word for word in words if word)
