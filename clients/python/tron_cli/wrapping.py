"""The command `tron run`, which runs any program, in any language, as an agent without a change to the program."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, Annotated

import typer
from tron_client.address import DEFAULT_REGISTRY
from tron_client.bearer import VARIABLE as TOKEN_VARIABLE

from tron_cli import messages
from tron_cli.connection import RegistryOption, away, refusal
from tron_cli.endings import Ending
from tron_cli.output import fail
from tron_cli.program import Program
from tron_cli.service_options import ServiceOptions, with_service_options
from tron_cli.tls_options import connects

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tron_client.agent import Agent

# The parent should not wait long for the news, nor the user for the prompt, where the registry is away.
_FAREWELL_SECONDS = 2.0
# How long a registry may take to restart, and how often to look whether it has.
_RESTART_SECONDS = 5.0
_RETRY_SECONDS = 0.2
# A program that ends at once should not be held up much longer than this where the registry is away.
_REGISTER_SECONDS = 2.0


@connects
@with_service_options
def run(
    command: Annotated[
        list[str], typer.Argument(metavar="-- CMD [ARGS]...", help="The program to run, with its arguments.")
    ],
    service_id: Annotated[str, typer.Option("--id", metavar="ID", help="The id of the service.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="The display name of the service. Default: the id.")] = "",
    registry: RegistryOption = DEFAULT_REGISTRY,
    options: ServiceOptions = ServiceOptions(),  # noqa: B008 - a frozen value
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="The heartbeat interval of the service.")
    ] = 30.0,
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
    restart: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Restart the program if it fails, at most N times within --restart-window."
        ),
    ] = 0,
    restart_window: Annotated[
        float, typer.Option(metavar="SECONDS", min=1.0, help="The period in which --restart counts restarts.")
    ] = 300.0,
    pass_token: Annotated[
        bool, typer.Option("--pass-token", help="Pass the variable TRON_TOKEN on to the program.")
    ] = False,
) -> None:
    """Run a program as an agent, and exit with its exit code.

    tron run sends heartbeats while the program runs. When the program ends, tron run reports to the parent of the
    service how the program ended. The program runs whether or not the registry is available; heartbeats begin once the
    registry answers. The program finds the id of its service in the environment variable TRON_SERVICE_ID, the address
    of the registry in TRON_REGISTRY, and the paths of the certificates in TRON_CA, TRON_CERT and TRON_KEY. It does not
    receive TRON_TOKEN, unless --pass-token is given.

    With --restart, tron run restarts a program that fails: the first time without a delay, then after 1 s, 2 s, 4 s and
    so on. The parent is notified of each restart. If the program fails and no restart is left, the parent is notified
    with severity CRITICAL.

    Alerts about the children of the service are printed on stderr. tron run acknowledges them, except CRITICAL alerts:
    these escalate to the parent of the service or to the operators, because tron run cannot act on them.

    tron run forwards each signal that it receives to the program exactly once. It can be process 1 of a container,
    because it also reaps orphaned processes of the program. If the program exits because a signal told it to stop, that
    does not count as a failure.
    """
    declared = options.keywords()
    if shutil.which(command[0]) is None:
        fail(messages.no_such_program(command[0]), code=127)
    # The program is started before grpc is loaded, so that it is not held up.
    found = {"TRON_SERVICE_ID": service_id, "TRON_REGISTRY": registry}
    program = Program(command, found, () if pass_token else (TOKEN_VARIABLE,))
    _print_pid(service_id, program.pid)
    # It may be started again later: Popen runs none of our code between fork and exec, and none of grpc's either.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

    from tron_client.agent import Agent
    from tron_client.errors import InvalidRequest

    try:
        agent = Agent(
            service_id,
            name=name,
            heartbeat_interval=interval,
            ttl=ttl,
            reconnect_grace=reconnect_grace,
            registry=registry,
            on_superseded=_print_superseded(service_id),
            register_timeout=_REGISTER_SECONDS,
            handle_sigterm=False,  # signals are the program's
            **declared,
        )
        agent.start()
    except (InvalidRequest, ValueError, OverflowError) as error:
        program.end()
        fail(refusal(error))
    threading.Thread(target=_take_alerts, args=(agent,), name="tron-run-alerts", daemon=True).start()
    news = _News(agent, name or service_id, options.parent, command)
    ending = _keep_running(program, agent, news, restart, restart_window)
    if agent.state != "superseded":  # else somebody else lives under this id, and it is not their news
        news.tell_end(ending)
    agent.stop(reason=ending.describe(), timeout=_FAREWELL_SECONDS)
    raise typer.Exit(ending.exit_code)


def _keep_running(program: Program, agent: Agent, news: _News, most: int, window: float) -> Ending:
    """Wait for the program's end, and restart it while a restart is allowed; return the final ending."""
    from tron_client.restart_history import RestartHistory, RestartLimits

    limits = RestartLimits(max_restarts=max(1, most), window=window)
    history = RestartHistory(limits)
    while True:
        ending = program.wait()
        if not most or ending.exit_code == 0 or agent.state == "superseded":
            return ending
        if asked := program.end_was_asked_for(ending):
            print(f"tron: {messages.not_restarted(ending.describe(), asked)}", file=sys.stderr)
            return ending
        due = history.next_start(time.monotonic())
        if due is None:
            news.end_restarts(most, window)
            return ending
        attempt = history.count(time.monotonic()) + 1
        agent.report("error", message=f"{ending.describe()}; restart {attempt} of {most}")
        if not program.rest_until(due):
            return ending
        history.started(time.monotonic(), "")
        program.start()
        _print_pid(agent.service_id, program.pid)
        agent.report("ok", message="")
        news.tell_restart(ending, attempt, most, window)


def _take_alerts(agent: Agent) -> None:
    """Print the alerts about the program's children. `tron run` cannot act on them, so CRITICAL alerts stay
    unacknowledged and escalate."""
    while (alert := agent.take_alert()) is not None:
        print(f"tron: {alert.severity} {alert.type} {alert.service_id}: {alert.message}", file=sys.stderr)
        if alert.severity != "CRITICAL":
            alert.acknowledge()


def _print_pid(service_id: str, pid: int) -> None:
    print(f"tron: {messages.runs_as(service_id, pid)}", file=sys.stderr)


def _print_superseded(service_id: str) -> Callable[[int], None]:
    def report(_: int) -> None:
        print(f"tron: {messages.taken_over(service_id)}", file=sys.stderr)

    return report


class _News:
    """Notifies the parent how the program ended or that it was restarted. If the registry is unavailable, a line on
    stderr says so, and the command continues."""

    def __init__(self, agent: Agent, name: str, parent: str, command: Sequence[str]) -> None:
        self._agent = agent
        self._name = name
        self._parent = parent
        self._command = list(command)
        self._restarts_used_up: dict[str, object] = {}

    def end_restarts(self, restarts: int, window: float) -> None:
        """Record that no restart is left, so that `tell_end` reports this."""
        self._restarts_used_up = {
            "restart_count": restarts,
            "max_restarts": restarts,
            "window_seconds": window,
            "why": "max_restarts_exceeded",
        }

    def tell_restart(self, ending: Ending, attempt: int, most: int, window: float) -> None:
        """Publish `process_restarted`: the program failed and was started again."""
        told = f"{self._command[0]} {ending.describe()}; restart {attempt} of {most}"
        details: dict[str, object] = {"restart_count": attempt, "max_restarts": most, "window_seconds": window}
        self._publish("process_restarted", "WARNING", "restarted", told, ending, details)

    def tell_end(self, ending: Ending) -> None:
        """Publish `process_exited`: the program ended and is not restarted. The severity is CRITICAL unless the exit
        code is 0. If all restarts are used up and the service has no parent, the operators receive the event."""
        told = f"{self._command[0]} {ending.describe()}"
        if self._restarts_used_up:
            told += f" and is not restarted after {self._restarts_used_up['restart_count']} restarts"
        action = "escalated" if self._restarts_used_up else ""
        self._publish("process_exited", ending.severity, action, told, ending, self._restarts_used_up)

    def _publish(
        self, kind: str, severity: str, action: str, told: str, ending: Ending, details: dict[str, object]
    ) -> None:
        from grid_model.event import OPERATORS
        from tron_client.client import RegistryClient
        from tron_client.errors import Draining, RegistryUnavailable, TronError

        recipient = self._parent or (OPERATORS if action == "escalated" else "")
        # Where it was heard before, the registry is probably only restarting.
        deadline = time.monotonic() + (_RESTART_SECONDS if self._agent.incarnation else 0.0)
        facts = {"exit_code": ending.exit_code, "signal": ending.signal_name, "command": self._command}
        with RegistryClient(self._agent.registry, timeout=_FAREWELL_SECONDS) as client:
            while True:
                try:
                    client.publish_event(
                        kind,
                        severity=severity,
                        service_id=self._agent.service_id,
                        service_name=self._name,
                        recipient=recipient,
                        action=action,
                        message=told[:1000],
                        details=facts | details,
                    )
                    return
                except (TronError, ValueError) as error:
                    retryable = isinstance(error, (Draining, RegistryUnavailable))
                    if retryable and time.monotonic() < deadline:
                        time.sleep(_RETRY_SECONDS)
                        continue
                    absent = isinstance(error, RegistryUnavailable)
                    why = away(self._agent.registry, str(error)) if absent else " ".join(str(error).split())
                    print(f"tron: {messages.end_not_reported(why)}", file=sys.stderr)
                    return
