"""`tron run`: makes an agent of any program, in any language, without a change to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from tron_cli.connection import DEFAULT_REGISTRY, LabelOption, RegistryOption, labels_from, refusal
from tron_cli.output import fail
from tron_cli.services import ServiceRole, ServiceType
from tron_cli.tether import tethered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType


# The parent should not wait long for the news, nor the user for the prompt, where the registry is away.
_FAREWELL_SECONDS = 2.0
# How long a registry may take to restart, and how often to look whether it has.
_RESTART_SECONDS = 5.0
_RETRY_SECONDS = 0.2
# A program that ends at once should not be held up much longer than this where the registry is away.
_REGISTER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended: `exit_code` as a shell has it, and the name of the signal that ended it, if one did."""

    exit_code: int
    signal_name: str | None

    @classmethod
    def of(cls, returncode: int) -> Ending:
        """Read a return code of `subprocess`, where the negative ones are signals."""
        if returncode >= 0:
            return cls(returncode, None)
        try:
            name = signal.Signals(-returncode).name
        except ValueError:  # real-time signals between the first and the last have no name
            name = f"SIG{-returncode}"
        return cls(128 - returncode, name)

    @property
    def severity(self) -> str:
        """CRITICAL unless it went well."""
        return "INFO" if self.exit_code == 0 else "CRITICAL"

    def describe(self) -> str:
        """Return it in words."""
        return f"ended by {self.signal_name}" if self.signal_name else f"exited with code {self.exit_code}"


def run(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD [ARGS]...", help="The program to run.")],
    service_id: Annotated[str, typer.Option("--id", help="Its identity.")],
    name: Annotated[str, typer.Option(help="What people call it; empty: the id.")] = "",
    registry: RegistryOption = DEFAULT_REGISTRY,
    type_: Annotated[ServiceType, typer.Option("--type", case_sensitive=False)] = "agent",
    role: Annotated[ServiceRole, typer.Option(case_sensitive=False)] = "production",
    url: Annotated[str, typer.Option(help="Where it answers; not interpreted.")] = "",
    cap: Annotated[list[str] | None, typer.Option(help="A capability. Repeatable.")] = None,
    label: LabelOption = None,
    parent: Annotated[str, typer.Option(help="The id or unique name of the agent that is told.")] = "",
    interval: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="Beat this often.")] = 30.0,
    ttl: Annotated[float | None, typer.Option(metavar="SECONDS", help="How long to trust it unseen.")] = None,
    reconnect_grace: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long its stream may stay broken.")
    ] = None,
) -> None:
    """Run a program as an agent: beats while it lives, tells the parent how it ended, exits with its code.

    The program runs whether or not the registry is there; beats begin once it is. It finds its identity in
    TRON_SERVICE_ID and the registry in TRON_REGISTRY.
    """
    labels = labels_from(label or ())
    if shutil.which(command[0]) is None:
        fail(f"no such program: {command[0]}", code=127)
    # The program is started before grpc is loaded: a process with grpc's threads should not fork.
    process = _start(command, {"TRON_SERVICE_ID": service_id, "TRON_REGISTRY": registry})

    from tron_client.agent import Agent
    from tron_client.errors import InvalidRequest

    try:
        agent = Agent(
            service_id,
            name=name,
            type=type_,
            role=role,
            url=url,
            caps=tuple(cap or ()),
            labels=labels or None,
            parent=parent,
            heartbeat_interval=interval,
            ttl=ttl,
            reconnect_grace=reconnect_grace,
            registry=registry,
            on_superseded=_say_superseded(service_id),
            register_timeout=_REGISTER_SECONDS,
        )
        agent.start()
    except (InvalidRequest, ValueError, OverflowError) as error:
        process.terminate()
        process.wait()
        fail(refusal(error))
    ending = Ending.of(process.wait())
    if agent.state != "superseded":  # else somebody else lives under this id, and it is not their news
        # Where it was heard before, the registry is probably only restarting.
        patience = _RESTART_SECONDS if agent.incarnation else 0.0
        _publish(service_id, name or service_id, registry, parent, command, ending, patience)
    agent.stop(reason=ending.describe(), timeout=_FAREWELL_SECONDS)
    raise typer.Exit(ending.exit_code)


def _start(command: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the program, tethered: an agent that TRON believes dead must not go on working unwatched."""
    process: subprocess.Popen[bytes] | None = None

    def forward(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and _terminal_told_everyone():
            return
        if process is not None and process.returncode is None:
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    process = subprocess.Popen(tethered(list(command)), env=os.environ | environment)
    return process


def _terminal_told_everyone() -> bool:
    """Return whether a Ctrl-C reached the program already, because the terminal tells all of its foreground group."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False  # no terminal


def _say_superseded(service_id: str) -> Callable[[int], None]:
    def say(_: int) -> None:
        print(f"tron: another process took over {service_id}; this one is watched no more", file=sys.stderr)

    return say


def _publish(
    service_id: str, name: str, registry: str, parent: str, command: Sequence[str], ending: Ending, patience: float
) -> None:
    """Tell the parent how it ended, trying for `patience` seconds. A registry that is away hides no exit code."""
    from tron_client.client import RegistryClient
    from tron_client.errors import Draining, RegistryUnavailable, TronError

    details = {"exit_code": ending.exit_code, "signal": ending.signal_name, "command": list(command)}
    deadline = time.monotonic() + patience
    with RegistryClient(registry, timeout=_FAREWELL_SECONDS) as client:
        while True:
            try:
                client.publish_event(
                    "process_exited",
                    severity=ending.severity,
                    service_id=service_id,
                    service_name=name,
                    recipient=parent,
                    message=f"{command[0]} {ending.describe()}"[:1000],
                    details=details,
                )
                return
            except (TronError, ValueError) as error:
                retryable = isinstance(error, (Draining, RegistryUnavailable))
                if retryable and time.monotonic() < deadline:
                    time.sleep(_RETRY_SECONDS)
                    continue
                print(f"tron: could not tell how it ended: {' '.join(str(error).split())}", file=sys.stderr)
                return
