"""The commands `tron services`, `watch`, `register`, `deregister` and `release`, which read and change the registered
services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer
from rich.markup import escape
from rich.table import Table
from tron_client.address import DEFAULT_REGISTRY

from tron_cli import messages
from tron_cli.connection import JsonOption, RegistryOption, labels_from, registry_at, require_registry
from tron_cli.output import age, clock_time, liveness_markup, one_line, out, print_json
from tron_cli.registering import CATALOGUES, chosen, load_catalogue, register_rows
from tron_cli.service_options import ServiceOptions, ServiceRole, ServiceType, one_of, with_service_options
from tron_cli.tls_options import OPTION_NAMES, connects

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tron_client.models import GoneService, Service, ServiceChange

ServiceStatus = Literal[
    "ok", "degraded", "down", "queued", "running", "blocked", "waiting_approval", "paused", "error", "done"
]
Liveness = Literal["alive", "suspect", "down", "unknown"]


@connects
def services(
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
    type_: Annotated[
        ServiceType | None,
        typer.Option(
            "--type", metavar=one_of(ServiceType), case_sensitive=False, help="List only services of this type."
        ),
    ] = None,
    role: Annotated[
        ServiceRole | None,
        typer.Option(metavar=one_of(ServiceRole), case_sensitive=False, help="List only services with this role."),
    ] = None,
    cap: Annotated[str, typer.Option(metavar="TEXT", help="List only services with this capability.")] = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="List only services with exactly this name.")] = "",
    status: Annotated[
        ServiceStatus | None,
        typer.Option(
            metavar="STATUS",
            case_sensitive=False,
            help=f"List only services that report this status: {', '.join(get_args(ServiceStatus))}.",
        ),
    ] = None,
    liveness: Annotated[
        Liveness | None,
        typer.Option(metavar=one_of(Liveness), case_sensitive=False, help="List only services with this liveness."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="K=V",
            help="List only services with this label: key=text, or key:=json for a value that is not a string. May be "
            "repeated; a service must have all of the labels.",
        ),
    ] = None,
    gone: Annotated[
        bool, typer.Option("--gone", help="List services that were removed, and why; the newest removal comes first.")
    ] = False,
) -> None:
    """List the registered services and their liveness."""
    selector = labels_from(label or ())
    if gone and _any(type_, role, cap, name, status, liveness, label):
        raise typer.BadParameter(messages.not_with("a filter"), param_hint="--gone")
    with registry_at(registry) as client:
        if gone:
            _show_gone(client.list_gone_services(), as_json)
            return
        from grid_model.wire import rfc3339

        found = client.list_services(
            type=type_ or "",
            role=role or "",
            cap=cap,
            name=name,
            status=status or "",
            liveness=(liveness or "").upper(),
            label_selector=selector or None,
        )
        if as_json:
            print_json(
                {
                    "revision": found.revision,
                    "observed_at": rfc3339(found.observed_at),
                    "services": [each.to_dict() for each in found.services],
                }
            )
        elif found.services:
            out.print(_table(found.services, found.observed_at))
        else:
            out.print(
                messages.NO_SERVICES_MATCH
                if _any(type_, role, cap, name, status, liveness, label)
                else messages.NO_SERVICES
            )


def _show_gone(found: tuple[GoneService, ...], as_json: bool) -> None:
    if as_json:
        print_json({"services": [each.to_dict() for each in found]})
        return
    if not found:
        out.print(messages.NO_SERVICE_IS_GONE)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("gone since", "how", "id", "name", "parent", "cause", "last heartbeat", "acknowledged", "reason"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("gone since", "how", "last heartbeat"))
    for each in found:
        table.add_row(
            clock_time(each.removed_at),
            "[red]lost[/]" if each.lost else "left",
            escape(each.service_id),
            escape(each.name),
            escape(each.parent),
            each.cause.lower(),
            clock_time(each.last_heartbeat_at),
            ("yes" if each.acknowledged else "no") if each.lost else "",
            "" if each.lost else escape(each.reason),
        )
    out.print(table)


def _any(*filters: object) -> bool:
    return any(filters)


def _table(found: Iterable[Service], now: datetime | None) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("liveness", "id", "name", "type", "parent", "heartbeat", "status", "load", "cause"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("liveness", "heartbeat"))
    for each in found:
        table.add_row(
            liveness_markup(each.liveness),
            escape(each.service_id),
            escape(each.name),
            each.type,
            escape(each.parent),
            age(each.last_heartbeat_at, now),
            each.status,
            "" if each.load is None else f"{each.load:.2f}",
            each.liveness_cause,
        )
    return table


@connects
def watch(
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
    since: Annotated[
        int,
        typer.Option(
            min=0, metavar="REVISION", help="Print only changes after this revision. With 0, print all services first."
        ),
    ] = 0,
    count: Annotated[int, typer.Option(metavar="N", min=0, help="Exit after this many changes; 0 means no limit.")] = 0,
) -> None:
    """Print each change of a service as it happens, until Ctrl-C.

    If the connection to the registry is lost, the command reconnects and prints
    the missed changes.
    """
    with registry_at(registry) as client:
        require_registry(client)
        for seen, change in enumerate(client.watch_services(since), 1):
            if as_json:
                print_json(change_document(change))
            else:
                out.print(change_markup(change), soft_wrap=True)
            if seen == count:
                return


def change_document(change: ServiceChange) -> dict[str, object]:
    """Return a change as a document, which `tron watch --json` prints as one line."""
    document = change.to_dict()
    if change.service is not None:
        document["service_id"] = change.service.service_id  # so that a reader finds the id in the same place always
    return document


def change_markup(change: ServiceChange) -> str:
    """Return a change as one line of text for people."""
    head = f"[dim]{change.revision:>8}[/]  "
    if change.kind == "snapshot_complete":
        return f"{head}[dim]{messages.SNAPSHOT_ENDS}[/]"
    if change.kind == "reset":
        return f"{head}[dim]{messages.SNAPSHOT_FOLLOWS}[/]"
    if change.service is None:
        return f"{head}[dim]– REMOVED[/]  {escape(change.service_id)}"
    service = change.service
    facts = [service.status]
    if service.liveness_cause:
        facts.append(service.liveness_cause.lower())
    if service.message:
        facts.append(service.message)
    title = service.service_id if service.name == service.service_id else f"{service.service_id} ({service.name})"
    return f"{head}{liveness_markup(service.liveness)}  {escape(title)}  {escape(one_line(', '.join(facts)))}"


@connects
@with_service_options
def register(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The display name of the service; it need not be unique. Required without --catalogue."
        ),
    ] = "",
    catalogue: Annotated[
        str,
        typer.Option(metavar="NAME|FILE", help=f"Register all services of a catalogue: {CATALOGUES}."),
    ] = "",
    service: Annotated[
        str, typer.Option(metavar="KEY", help="With --catalogue: register only the service with this key, id or name.")
    ] = "",
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
    service_id: Annotated[
        str, typer.Option("--id", metavar="ID", help="The id of the service. Default: the registry assigns one.")
    ] = "",
    options: ServiceOptions = ServiceOptions(),  # noqa: B008 - a frozen value
    interval: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="The heartbeat interval of the service.")
    ] = None,
    ttl: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="A time to live, stored with the service for its clients. TRON does not act on it."
        ),
    ] = None,
    reconnect_grace: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How long the stream of the service may stay broken before the service is declared down. "
            "Default: the threshold reconnect_grace (see: tron policy).",
        ),
    ] = None,
    stall_after: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help=(
                "How long the activity counter may stay unchanged before the service is considered "
                "stalled. Default: no limit."
            ),
        ),
    ] = None,
    ctx_limit: Annotated[
        int | None, typer.Option(metavar="TOKENS", help="The size of the context window of the service, in tokens.")
    ] = None,
) -> None:
    """Register a service, or all services of a catalogue.

    The command sends no heartbeats; use `tron run` or `tron probe` for that. The services of a catalogue have fixed
    ids, so registering them again creates no duplicates.
    """
    if catalogue:
        _refuse_others(context, "catalogue", "service", "registry", "as_json", *OPTION_NAMES)
        listed = load_catalogue(catalogue)
        rows = chosen(listed, service)
        with registry_at(registry) as client:
            register_rows(client, listed.source, rows, as_json)
        return
    if service:
        raise typer.BadParameter(messages.SERVICE_OF_A_CATALOGUE, param_hint="--service")
    if not name:
        raise typer.BadParameter(messages.NAME_OR_CATALOGUE, param_hint="--name")
    declared = options.keywords()
    with registry_at(registry) as client:
        registered = client.register(
            service_id,
            name=name,
            ctx_limit=ctx_limit,
            heartbeat_interval=interval,
            ttl=ttl,
            reconnect_grace=reconnect_grace,
            stall_after=stall_after,
            **declared,
        )
        if as_json:
            print_json(registered.to_dict())
        else:
            told = messages.registered(escape(registered.service_id), registered.incarnation)
            out.print(told, soft_wrap=True)


def _refuse_others(context: typer.Context, *allowed: str) -> None:
    """End with a usage error if the user gave a flag that has no meaning together with the first allowed one."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in allowed and source is not None and source.name == "COMMANDLINE":
            flag = next(each.opts[0] for each in context.command.params if each.name == name)
            raise typer.BadParameter(messages.not_with(f"--{allowed[0]}"), param_hint=flag)


@connects
def deregister(
    service_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the service to remove.")],
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="The reason for the removal, which is recorded in the event log.")
    ] = "",
) -> None:
    """Remove a service from the registry without sending an alert."""
    with registry_at(registry) as client:
        client.deregister(service_id, reason)
        if as_json:
            print_json({"service_id": service_id, "deregistered": True})
        else:
            out.print(messages.deregistered(escape(service_id)), soft_wrap=True)


@connects
def release(
    service_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a service that is not registered.")],
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
) -> None:
    """End the ownership of an id, so that any principal with a grant for the id can register it."""
    with registry_at(registry) as client:
        owner = client.release_owner(service_id)
        if as_json:
            print_json({"service_id": service_id, "released_from": owner})
        else:
            out.print(messages.released(escape(service_id), escape(owner)), soft_wrap=True)
