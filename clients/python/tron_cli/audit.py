"""The command `tron audit`: the changes by operators and administrators, and the requests that were refused."""

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
"""Seconds between two requests for new records."""

KINDS = ("act", "refusal", "dropped")


@connects
def audit(
    registry: RegistryOption = DEFAULT_REGISTRY,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue to print new records, until Ctrl-C.")
    ] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Show only the newest N records.")] = 50,
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="Show only records of this kind: act (a change), refusal, or dropped (the number of refusals "
            "that were not recorded, because there were too many different ones within a minute).",
        ),
    ] = "",
    actor: Annotated[str, typer.Option(metavar="PRINCIPAL", help="Show only records of this principal.")] = "",
    method: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            help="Show only calls to this gRPC method, or requests to this HTTP route; use the full name that "
            "--json shows.",
        ),
    ] = "",
    target: Annotated[str, typer.Option(metavar="ID", help="Show only records about this id or name.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show who changed what, and which requests were refused.

    Requires the role admin. Each change by an operator or an administrator has a record of its own. If refusals with
    the same caller, method and reason are repeated within a minute, only the first one has a record of its own; the
    others share a record, which shows how many there were.
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
