"""The commands `tron explain` and `tron stats`, which show TRON's verdicts and their reasons."""

from __future__ import annotations

import dataclasses
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table
from tron_client.address import DEFAULT_MONITOR, DEFAULT_REGISTRY

from tron_cli import messages
from tron_cli.connection import (
    JsonOption,
    RegistryOption,
    address_answers,
    checked_address,
    not_there,
    refusal,
    registry_at,
)
from tron_cli.output import age, clock_time, fail, liveness_markup, out, print_json
from tron_cli.tls_options import connects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tron_client.tron_api import Explanation, MonitorClient


def _checked_monitor(context: typer.Context, option: typer.CallbackParam, text: str) -> str:
    """Return TRON's address, or an empty string so that the registry is asked for it. A `--registry` on the command
    line takes precedence over a TRON address from the environment."""
    own, others = (context.get_parameter_source(name) for name in (str(option.name), "registry"))
    typed = others is not None and others.name == "COMMANDLINE"
    if not text or (typed and own is not None and own.name == "ENVIRONMENT"):
        return ""
    return checked_address(context, option, text)


MonitorOption = Annotated[
    str,
    typer.Option(
        "--monitor",
        metavar="ADDR",
        envvar="TRON_MONITOR",
        help="The address of TRON. Default: the address at which TRON is registered.",
        show_default=False,
        callback=_checked_monitor,
    ),
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The id of the service.")]


@contextmanager
def monitor_at(monitor: str, registry: str) -> Iterator[MonitorClient]:
    """Yield a client of TRON, at the address that `monitor_address_of` returns.

    If a call fails, print one line and end the command with code 1.
    """
    from tron_client.errors import InvalidRequest, RegistryUnavailable, TronError
    from tron_client.tron_api import MonitorClient

    address = monitor_address_of(monitor, registry)
    try:
        with MonitorClient(address) as client:
            yield client
    except RegistryUnavailable as error:
        if "registry" in error.message and address_answers(address):
            fail(messages.tron_without_registry(address))
        fail(not_there("TRON", address, error.message))
    except (InvalidRequest, ValueError) as error:
        fail(refusal(error))
    except TronError as error:
        fail(error.message or error.reason)


def monitor_address_of(monitor: str, registry: str) -> str:
    """Return `monitor` unless it is empty; otherwise return the address at which TRON is registered. If TRON is not
    registered, return TRON's default address if `registry` is the default registry; for any other registry, end the
    command with one line."""
    if monitor:
        return monitor
    from tron_client.discovery import Unreachable
    from tron_client.errors import ServiceNotFound
    from tron_client.tron_api import find_monitor

    with registry_at(registry):
        try:
            return str(find_monitor(registry))
        except ServiceNotFound:
            if registry == DEFAULT_REGISTRY:
                return DEFAULT_MONITOR  # one that does not register itself
            fail(messages.no_tron(registry))
        except Unreachable as error:
            fail(messages.tron_unreachable(error))


@connects
def explain(
    service_id: IdArgument,
    registry: RegistryOption = DEFAULT_REGISTRY,
    monitor: MonitorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Explain the liveness of a service, and what happens next.

    The command prints TRON's verdict, the rule that applied, the next deadlines and the evidence. It also prints the
    safety margin, which is (timeout - longest gap) / timeout. The timeout is the time after which a silent service is
    declared down, and the gap is the one between two heartbeats.
    """
    from tron_client.errors import ServiceNotFound

    with monitor_at(monitor, registry) as client:
        try:
            explanation = client.explain(service_id)
        except ServiceNotFound as error:
            fail(f"{error.message}{_last_words(client, service_id)}")
        if as_json:
            print_json(
                {
                    "service": explanation.service.to_dict(),
                    "verdict": explanation.verdict,
                    "rule": explanation.rule,
                    "deadlines": [dataclasses.asdict(each) for each in explanation.deadlines],
                    "margin": explanation.margin,
                    "evidence": explanation.evidence,
                }
            )
        else:
            _print(explanation)


def _last_words(client: MonitorClient, service_id: str) -> str:
    """Return TRON's last message about a service that is no longer registered; empty if there is none."""
    last, after = None, 0
    while page := client.list_alerts(after_sequence=after, limit=1000, service_id=service_id):
        last, after = page[-1], page[-1].sequence
    return "" if last is None else f"; last: {last.message} ({last.type}, {clock_time(last.occurred_at)})"


def _print(explanation: Explanation) -> None:
    service = explanation.service
    out.print(f"{liveness_markup(service.liveness)}  [bold]{escape(explanation.verdict)}[/]", soft_wrap=True)
    name, _, text = explanation.rule.partition(": ")
    out.print(f"\n[bold]Rule[/]  {escape(name)}{f': {escape(text)}' if text else ''}", soft_wrap=True)
    if explanation.deadlines:
        out.print(f"\n[bold]Next[/], {messages.UNLESS_A_HEARTBEAT_ARRIVES}")
        for each in explanation.deadlines:
            when = "now" if each.due_in <= 0 else f"in {each.due_in:.1f} s"
            out.print(f"  {when:<12} {escape(each.what)}")
    if explanation.margin:
        out.print(f"\n[bold]Margin[/]  {escape(explanation.margin)}", soft_wrap=True)
    evidence = explanation.evidence
    if evidence:
        out.print("\n[bold]Evidence[/]")
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
        for key, value in sorted(evidence.items()):
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            if shown not in ("", "[]"):
                table.add_row(key.replace("_", " "), escape(shown))
        out.print(table)


def shown(value: object) -> str:
    """Return a value as text for people: numbers without needless digits, booleans as `true` and `false`."""
    return (
        f"{value:.12g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    )


@connects
def stats(
    registry: RegistryOption = DEFAULT_REGISTRY, monitor: MonitorOption = "", as_json: JsonOption = False
) -> None:
    """Count the services by liveness.

    The command also shows whether TRON is watching, and whether notices reach
    the operators.
    """
    with monitor_at(monitor, registry) as client:
        found = client.get_stats()
        if as_json:
            print_json(dataclasses.asdict(found))
            return
        if not found.watching:
            out.print(f"[red]{messages.TRON_NOT_WATCHING}[/]")
        if found.guard_active:
            out.print(f"[yellow]{messages.MASS_FAILURE}[/]")
        table = Table(box=None, pad_edge=False, show_header=False)
        for each in dataclasses.fields(found):
            value = getattr(found, each.name)
            if each.name == "last_check":
                value = f"{clock_time(value)} ({age(value, found.observed_at)} ago)" if value else "never"
            if each.name not in ("sinks", "observed_at"):
                table.add_row(each.name.replace("_", " "), shown(value))
        out.print(table)
        for sink in found.sinks:
            trouble = f"  {sink.last_error}" if sink.last_error else ""
            facts = (
                f"{sink.delivered} delivered, {sink.queued} wait, {sink.failed} attempts failed, {sink.dropped} dropped"
            )
            out.print(f"{escape(sink.name)}: {facts}{escape(trouble)}", soft_wrap=True)
