"""The commands `tron policy` and `tron maintenance`, with which an operator changes thresholds and holds alerts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from tron_client.address import DEFAULT_REGISTRY
from tron_client.thresholds import THRESHOLDS

from tron_cli import messages
from tron_cli.connection import JsonOption, RegistryOption
from tron_cli.help_pages import PlainCommand
from tron_cli.judgement import MonitorOption, monitor_at, shown
from tron_cli.output import clock_time, fail, out, print_json
from tron_cli.tls_options import connects

if TYPE_CHECKING:
    from tron_client.tron_api import HeldNotices, PolicyInForce, PolicyOverride

DEFAULT = "default"
"""The value that removes a change of a threshold: `tron policy NAME=default`."""

_SOURCES = {
    "built_in": "built-in default",
    "settings": "settings file",
    "runtime": "set at run time",
    "service_settings": "override, settings file",
    "service_runtime": "override, set at run time",
}


class PolicyCommand(PlainCommand):
    """A command in which `--service` without an ID lists the services that have overrides."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Treat `--service` as `--overrides` if no value follows it."""
        words = list(args)
        for index, word in enumerate(words):
            if word == "--":
                break
            if word == "--service" and (index + 1 == len(words) or words[index + 1].startswith("-")):
                words[index] = "--overrides"
        return super().parse_args(ctx, words)


@connects
def policy(
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="The thresholds to change. NAME=default undoes a change."),
    ] = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
    monitor: MonitorOption = "",
    as_json: JsonOption = False,
    service: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help=(
                "Show or change the thresholds of the service with this id. --service without an ID is the same "
                "as --overrides."
            ),
        ),
    ] = "",
    overrides: Annotated[
        bool,
        typer.Option(
            "--overrides",
            help="List the services that have thresholds of their own (overrides), with these thresholds.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --service: change thresholds even if the service is not registered.")
    ] = False,
) -> None:
    """Show the thresholds in force and their sources, or change thresholds.

    Changes take effect at once and survive restarts. A time is a number of
    seconds, or has a unit: 500ms, 2.5s, 10min, 1h.
    """
    from tron_client.errors import InvalidRequest, ServiceNotFound

    wanted = dict(_change(each) for each in changes or ())
    if overrides and (wanted or service):
        why = messages.OVERRIDES_ONLY_LISTS
        raise typer.BadParameter(why, param_hint="--overrides")
    if force and not (service and wanted):
        raise typer.BadParameter(messages.FORCE_NEEDS_CHANGES, param_hint="--force")
    unset = [name for name, value in wanted.items() if value == DEFAULT]
    given = {name: value for name, value in wanted.items() if value != DEFAULT}
    with monitor_at(monitor, registry) as client:
        if overrides:
            _list_overrides(client.list_overrides(), as_json=as_json)
            return
        try:
            before = None if force else client.read_policy(service)
            after = before
            if wanted:
                after = client.change_policy(service, given, unset=unset, allow_unknown=force)
        except ServiceNotFound as error:
            hint = messages.FORCE_HINT if wanted else ""
            fail(f"{error.message}{hint}")
        except InvalidRequest as error:
            wrong = (f"{each.field.removeprefix('policy.')}: {each.description}" for each in error.fields)
            fail("; ".join(wrong) or error.message)
        assert after is not None
        if as_json:
            print_json({"service_id": service, "policy": after.thresholds, "sources": after.sources})
        else:
            out.print(_table(before or after, after))


def _table(before: PolicyInForce, after: PolicyInForce) -> Table:
    changed = before.thresholds != after.thresholds
    table = Table(box=None, pad_edge=False)
    for heading in ("threshold", "value", "from", *(["was"] if changed else ())):
        table.add_column(heading)
    for name, value in after.thresholds.items():
        was = "" if value == before.thresholds[name] else _value(name, before.thresholds[name])
        source = after.sources.get(name, "")
        marked = was or source.startswith("service_")
        row = [f"[bold]{name}[/]" if marked else name, _value(name, value), _SOURCES.get(source, source)]
        table.add_row(*row, *([was] if changed else ()))
    return table


def _value(name: str, value: object) -> str:
    unit = " s" if name in THRESHOLDS and THRESHOLDS[name].kind == "seconds" else ""
    return f"{shown(value)}{unit}"


def _list_overrides(found: tuple[PolicyOverride, ...], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"service_id": each.service_id, "policy": each.thresholds, "sources": each.sources, "watched": each.watched}
            for each in found
        ]
        print_json({"overrides": rows})
        return
    if not found:
        out.print(messages.NO_OVERRIDES)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "threshold", "value", "from", ""):
        table.add_column(heading, overflow="fold")
    for each in found:
        for name, value in each.thresholds.items():
            absent = "" if each.watched else "not registered"
            table.add_row(
                escape(each.service_id), name, _value(name, value), _SOURCES.get(each.sources[name], ""), absent
            )
    out.print(table)


def _change(word: str) -> tuple[str, str]:
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise typer.BadParameter(messages.not_name_value(word), param_hint="NAME=VALUE")
    return name.strip().replace("-", "_"), _unquoted(text.strip())


def _unquoted(text: str) -> str:
    """Return the text inside the quotes of a value that was written as JSON (`"adopt"`); any other text unchanged."""
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            pass
    return text


@connects
def maintenance(
    service_id: Annotated[
        str,
        typer.Argument(
            metavar="[ID]", help="The id of the service. Without it, the services under maintenance are listed."
        ),
    ] = "",
    registry: RegistryOption = DEFAULT_REGISTRY,
    monitor: MonitorOption = "",
    as_json: JsonOption = False,
    off: Annotated[
        bool,
        typer.Option("--off", help="End the maintenance. Alerts that were held back are sent now if they still apply."),
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option("--for", metavar="MINUTES", help="End the maintenance automatically after this many minutes."),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="The reason, which is shown to other operators.")] = "",
) -> None:
    """Put a service under maintenance, or list the services under maintenance.

    While a service is under maintenance, alerts about it are held back, and TRON does not deregister it. Maintenance
    belongs to the id of the service, so it continues if the service or the registry restarts.
    """
    if off and (minutes is not None or reason):
        raise typer.BadParameter(messages.OFF_TAKES_NOTHING, param_hint="--off")
    if not service_id and (off or minutes is not None or reason):
        raise typer.BadParameter(messages.NAME_A_SERVICE, param_hint="ID")
    with monitor_at(monitor, registry) as client:
        if not service_id:
            _list_held(client.list_maintenance(), as_json=as_json)
            return
        duration = None if minutes is None else minutes * 60
        service = client.set_maintenance(service_id, not off, duration=duration, reason=reason)
        held = service.maintenance
        if as_json:
            print_json({"service_id": service_id, "maintenance": None if held is None else held.to_dict()})
        elif held is None:
            out.print(messages.alerts_sent_again(escape(service_id)), soft_wrap=True)
        else:
            # The moment is by the registry's clock; the length is not by any.
            length = "" if minutes is None else f"for {minutes:g} min, "
            until = "until you end the maintenance" if held.until is None else f"{length}until {clock_time(held.until)}"
            out.print(messages.alerts_held(escape(service_id), until), soft_wrap=True)


def _list_held(found: tuple[HeldNotices, ...], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"service_id": each.service_id, "name": each.name, "maintenance": each.maintenance.to_dict()}
            for each in found
        ]
        print_json({"held": rows})
        return
    if not found:
        out.print(messages.NO_ALERTS_HELD)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("service", "name", "since", "until", "reason"):
        table.add_column(heading, overflow="fold")
    for each in found:
        held = each.maintenance
        until = "you end the maintenance" if held.until is None else clock_time(held.until)
        name = each.name or "not registered"
        table.add_row(escape(each.service_id), escape(name), clock_time(held.since), until, escape(held.reason))
    out.print(table)
