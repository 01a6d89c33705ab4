"""The commands `tron alerts`, which lists events and unacknowledged alerts, and `tron alerts ack`, which acknowledges
alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table
from tron_client.address import DEFAULT_REGISTRY

from tron_cli import messages
from tron_cli.connection import JsonOption, RegistryOption, registry_at
from tron_cli.help_pages import CommandLine
from tron_cli.output import clock_time, one_line, out, print_json, severity_markup
from tron_cli.tls_options import connects

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from tron_client.models import Event

app = CommandLine(invoke_without_command=True, no_args_is_help=False)


@app.callback()
@connects
def alerts(
    context: typer.Context,
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue to print new events as they happen, until Ctrl-C.")
    ] = False,
    recipient: Annotated[str, typer.Option(metavar="ID", help="Show only alerts for this recipient.")] = "",
    service: Annotated[str, typer.Option(metavar="ID", help="Show only events about this service.")] = "",
    unacknowledged: Annotated[
        bool, typer.Option("--unacknowledged", help="Show only alerts that are not acknowledged.")
    ] = False,
    limit: Annotated[
        int,
        typer.Option("--limit", "-n", metavar="N", min=1, max=1000, help="Show only the newest N events."),
    ] = 20,
    count: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="With --follow: exit after N events, including the recent events that are printed at the start; "
            "0 means no limit.",
        ),
    ] = 0,
) -> None:
    """List recent alerts and other events, oldest first."""
    if context.invoked_subcommand is not None:
        return
    if follow and unacknowledged:
        raise typer.BadParameter(messages.not_with("--follow"), param_hint="--unacknowledged")
    with registry_at(registry) as client:
        page = client.list_events(
            limit=limit, recipient=recipient, service_id=service, unacknowledged=unacknowledged, newest=True
        )
        if not follow:
            # The newest that wait are at least those among the newest events.
            open_page = (
                page
                if unacknowledged
                else client.list_events(
                    limit=1000, recipient=recipient, service_id=service, unacknowledged=True, newest=True
                )
            )
            waiting = {(each.alert_id, each.recipient) for each in open_page.events}
            if as_json:
                print_json(
                    {
                        "events": [
                            {**each.to_dict(), "waits": (each.alert_id, each.recipient) in waiting}
                            for each in page.events
                        ],
                        "first_sequence": page.first_sequence,
                        "last_sequence": page.last_sequence,
                    }
                )
            elif page.events:
                out.print(_table(page.events, waiting))
            else:
                out.print(messages.NO_ALERT_WAITS if unacknowledged else _nothing(recipient, service))
            return
        shown = 0
        for event in page.events:
            shown += _show(event, as_json)
            if shown == count:
                return
        # From the end of the log as that page saw it: nothing between the page and the stream is lost.
        for event in client.subscribe_events(page.last_sequence, recipient=recipient, service_id=service):
            shown += _show(event, as_json)
            if shown == count:
                return


@app.command()
@connects
def ack(
    alert_id: Annotated[str, typer.Argument(metavar="[ALERT_ID]", help="The id of the alert to acknowledge.")] = "",
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
    everything: Annotated[bool, typer.Option("--all", help="Acknowledge all alerts.")] = False,
    service: Annotated[str, typer.Option(metavar="ID", help="Acknowledge all alerts about this service.")] = "",
    recipient: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Acknowledge all alerts for this recipient. With ALERT_ID: only this recipient's copy."
        ),
    ] = "",
) -> None:
    """Acknowledge alerts, so that they are neither sent again nor escalated.

    Without --recipient, the command acts on behalf of the operators: it acknowledges the copies of the alerts for all
    recipients. If an alert is about a service that was declared down, the command also acknowledges the loss of the
    service.
    """
    if sum((bool(alert_id), everything, bool(service or (recipient and not alert_id)))) != 1:
        raise typer.BadParameter(messages.WHICH_ALERTS, param_hint="ALERT_ID")
    with registry_at(registry) as client:
        if alert_id and recipient:
            copies, lost = client.acknowledge(alert_id, recipient), 0
        else:
            if alert_id:
                done = client.acknowledge_event(alert_id)
            else:
                done = client.acknowledge_all(service_id=service, recipient=recipient)
            copies, lost = done.copies, done.lost_services
        if as_json:
            document: dict[str, object] = {"alert_id": alert_id} if alert_id else {}
            print_json({**document, "acknowledged": copies, "lost_services": lost})
        elif copies or lost:
            counts = [_count(copies, "alert copy", "alert copies"), _count(lost, "lost service", "lost services")]
            out.print(messages.acknowledged([each for each in counts if each]))
        else:
            out.print(messages.ACKNOWLEDGED_BEFORE if alert_id else messages.NO_ALERT_WAITS)


def _count(number: int, one: str, many: str) -> str:
    return "" if not number else f"{number} {one if number == 1 else many}"


def _nothing(recipient: str, service: str) -> str:
    return messages.NO_EVENTS_MATCH if recipient or service else messages.NO_EVENTS


def _show(event: Event, as_json: bool) -> int:
    if as_json:
        print_json(event.to_dict())
    else:
        out.print(event_markup(event), soft_wrap=True)
    return 1


def event_markup(event: Event) -> str:
    """Return an event as one line for people."""
    words = [
        f"[dim]{clock_time(event.occurred_at)}[/]",
        severity_markup(event.severity),
        f"[bold]{escape(event.type)}[/]",
    ]
    if event.service_id:
        words.append(escape(event.service_id))
    if event.cause:
        words.append(event.cause.lower())
    if event.recipient:
        words.append(f"→ {escape(event.recipient)}")
    if event.message:
        words.append(f"[dim]{escape(one_line(event.message))}[/]")
    return "  ".join([*words, f"[dim]{escape(event.alert_id)}[/]"])


def _table(events: Iterable[Event], waiting: Container[tuple[str, str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("when", "severity", "type", "service", "cause", "recipient", "waits", "message", "alert id"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "when")
    for each in events:
        table.add_row(
            clock_time(each.occurred_at),
            severity_markup(each.severity),
            escape(each.type),
            escape(each.service_id),
            each.cause.lower(),
            escape(each.recipient),
            "waits" if (each.alert_id, each.recipient) in waiting else "",
            escape(each.message),
            escape(each.alert_id),
        )
    return table
