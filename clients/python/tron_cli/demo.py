"""The command `tron demo`: runs the fleet of a catalogue, or acts on a running demo."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tron_client.address import DEFAULT_REGISTRY

from grid_hosting.whole_file import write_whole
from tron_cli import messages
from tron_cli.connection import JsonOption, RegistryOption, address_answers, away
from tron_cli.control import ControlError, NoDemo, ask, control_path
from tron_cli.output import fail, out, print_json
from tron_cli.registering import CATALOGUES, load_catalogue
from tron_cli.streams import even_unread
from tron_cli.tls_options import connects

if TYPE_CHECKING:
    from tron_cli.fleet import Fleet
    from tron_cli.fleet_file import FleetFile

DEFAULT_CATALOGUE = "pas"
_KNOCK_SECONDS = 2.0


@connects
def demo(
    catalogue: Annotated[
        str, typer.Option(metavar="NAME|FILE", help=f"The catalogue to run: {CATALOGUES}.")
    ] = DEFAULT_CATALOGUE,
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
    kill: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Kill this agent (SIGKILL), and kill it again after each restart until --resume."
        ),
    ] = "",
    kill_once: Annotated[
        str, typer.Option(metavar="ID", help="Kill this agent (SIGKILL) once; its parent restarts it.")
    ] = "",
    hang: Annotated[
        str, typer.Option(metavar="ID", help="Suspend this agent (SIGSTOP): its stream stays open without heartbeats.")
    ] = "",
    stall: Annotated[
        str, typer.Option(metavar="ID", help="Freeze this agent's activity counter; its heartbeats continue.")
    ] = "",
    resume: Annotated[
        str,
        typer.Option(
            metavar="ID", help="Undo --kill, --hang and --stall for this agent; start it if it is not running."
        ),
    ] = "",
    ready_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="When all agents are registered, write a JSON object with their process ids to this file.",
        ),
    ] = None,
) -> None:
    """Run a demo fleet: one process for each service of a catalogue.

    Each service is an agent. Parents restart a failed child up to three times, then escalate the failure. The options
    --kill, --kill-once, --hang, --stall and --resume act on a demo that is already running, in another terminal or in
    `tron up --demo`. To see the alerts, run: tron alerts --follow
    """
    words = {"kill": kill, "kill-once": kill_once, "hang": hang, "stall": stall, "resume": resume}
    asked = {word: service_id for word, service_id in words.items() if service_id}
    if len(asked) > 1:
        raise typer.BadParameter(messages.ONE_AT_A_TIME, param_hint=" / ".join(f"--{word}" for word in asked))
    try:
        control = control_path(registry)
        for word, service_id in asked.items():
            _act(control, registry, word, service_id, as_json)
            return
        fleet_of = load_catalogue(catalogue)
        _knock(registry)
        code = asyncio.run(_run(fleet_of, registry, control, ready_file))
    except ControlError as error:
        fail(str(error))
    raise typer.Exit(code)


def _act(control: Path, registry: str, word: str, service_id: str, as_json: bool) -> None:
    try:
        answer = ask(control, {"do": word, "id": service_id})
    except NoDemo:
        fail(messages.no_demo_at(registry))
    if as_json:
        print_json({"id": answer["id"], "did": word, "pid": answer["pid"]})
    else:
        out.print(messages.demo_did(answer["name"], answer["did"]), highlight=False, markup=False, soft_wrap=True)


def _knock(registry: str) -> None:
    """Check that a server listens at the registry's address; otherwise the agents would wait for the registry
    forever."""
    if not address_answers(registry):
        fail(away(registry))


async def _run(catalogue: FleetFile, registry: str, control: Path, ready_file: Path | None) -> int:
    """Run the fleet until a signal arrives; return the exit code."""
    from tron_cli.fleet import Fleet, FleetError, report

    command = [sys.executable, "-P", "-m", "tron_cli.fleet_agent"]
    fleet = Fleet(catalogue, registry, control, command, report)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)

    async def live() -> None:
        async with fleet.running():
            if ready_file is not None:
                pids = {member.service_id: member.pid for member in fleet.members}
                write_whole(ready_file, json.dumps({"demo_control": str(control), "pids": pids}) + "\n")
            else:
                with even_unread():
                    _welcome(catalogue, registry, fleet)
            await stop.wait()

    living, stopping = asyncio.create_task(live()), asyncio.create_task(stop.wait())
    await asyncio.wait({living, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        living.cancel()  # it may be starting still; either way all leave
    try:
        await living
    except asyncio.CancelledError:
        pass
    except FleetError as error:
        report(str(error))
        return 1
    return 0


def to_try(catalogue: FleetFile) -> tuple[str, ...]:
    """Return example commands to try on a running demo, without the leading `tron`."""
    kill = (
        f"demo --kill '{catalogue.favourite}'" if " " in catalogue.favourite else f"demo --kill {catalogue.favourite}"
    )
    return ("services", "alerts --follow", *((kill,) if catalogue.favourite else ()))


def _welcome(catalogue: FleetFile, registry: str, fleet: Fleet) -> None:
    elsewhere = "" if registry == DEFAULT_REGISTRY else f" --registry {registry}"
    out.print(
        f"{catalogue.title}: {len(fleet.members)} agents are running at {registry}. Press Ctrl-C to stop. Try next:\n"
    )
    for command in to_try(catalogue):
        out.print(f"  tron {command}{elsewhere}", highlight=False, markup=False, soft_wrap=True)
    out.print()
    sys.stdout.flush()
