"""The command `tron selftest`, which checks a live system: is TRON watching, does it detect silence, does it declare
the child down, and is the parent notified?

The command registers a parent and a child of its own, stops the child's heartbeats, and waits for the expected events.
At the end it removes both services, whatever the result. This is Test 13 of the legacy system.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from tron_client.address import DEFAULT_REGISTRY

from tron_cli import messages
from tron_cli.connection import JsonOption, RegistryOption
from tron_cli.judgement import MonitorOption, monitor_address_of
from tron_cli.output import out, print_json
from tron_cli.tls_options import connects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tron_client.agent import Agent
    from tron_client.client import RegistryClient

PHASES: tuple[str, ...] = ("connectivity", "simulated timeout", "marked down", "parent alerted")

INTERVAL = 0.5
_LOOK_EVERY = 0.05


class PhaseFailed(Exception):
    """A phase did not reach its goal; the text describes what was missing."""


@dataclass(slots=True)
class Phase:
    """One phase: its name, its result, and its duration in seconds."""

    name: str
    passed: bool = False
    seconds: float = 0.0
    detail: str = "not reached"


@dataclass(slots=True)
class SelfTest:
    """The four phases, in order; the first failure ends the test."""

    registry: str
    monitor: str
    patience: float
    phases: list[Phase] = field(default_factory=lambda: [Phase(name) for name in PHASES])

    def run(self) -> bool:
        """Run all phases; return whether all passed."""
        from tron_client.client import RegistryClient

        with RegistryClient(self.registry) as client:
            if not self._do(0, lambda: self._connect(client)):
                return False
            word = uuid.uuid4().hex[:8]
            with self._family(client, f"selftest-parent-{word}", f"selftest-child-{word}") as (parent, child_id):
                return (
                    self._do(1, lambda: self._fall_silent(client, child_id))
                    and self._do(2, lambda: self._be_judged(client, child_id))
                    and self._do(3, lambda: self._be_notified(parent, child_id))
                )

    def _do(self, number: int, work: Callable[[], str]) -> bool:
        from tron_client.errors import TronError

        phase, begin = self.phases[number], time.monotonic()
        try:
            phase.detail, phase.passed = work(), True
        except PhaseFailed as failed:
            phase.detail = str(failed)
        except TronError as error:
            phase.detail = error.message or error.reason
        phase.seconds = round(time.monotonic() - begin, 3)
        return phase.passed

    def _connect(self, client: RegistryClient) -> str:
        from tron_client.errors import TronError
        from tron_client.tron_api import MonitorClient

        try:
            client.list_events(limit=1)
        except TronError as error:
            raise PhaseFailed(messages.does_not_answer("the registry", self.registry, error.message)) from error
        with MonitorClient(self.monitor) as tron:
            try:
                stats = tron.get_stats()
            except TronError as error:
                raise PhaseFailed(messages.does_not_answer("TRON", self.monitor, error.message)) from error
        if not stats.watching:
            raise PhaseFailed(messages.TRON_ANSWERS_WITHOUT_DATA)
        return f"registry and TRON answer; {stats.total_services} services are watched"

    @contextmanager
    def _family(self, client: RegistryClient, parent_id: str, child_id: str) -> Iterator[tuple[Agent, str]]:
        from tron_client.agent import Agent
        from tron_client.errors import ServiceNotFound, TronError

        labels = {"selftest": True}
        with Agent(parent_id, registry=self.registry, heartbeat_interval=1.0, labels=labels) as parent:
            try:
                yield parent, child_id
            finally:
                try:
                    client.deregister(child_id, "the self-test is over")
                except ServiceNotFound:
                    pass
                except TronError as error:
                    out.print(f"[dim]could not remove {escape(child_id)}: {escape(error.message)}[/]")

    def _fall_silent(self, client: RegistryClient, child_id: str) -> str:
        """Register the child by the unary call, so that it has no stream and can be detected only by its silence."""
        parent_id = child_id.replace("child", "parent", 1)
        client.register(
            child_id, name=child_id, parent=parent_id, heartbeat_interval=INTERVAL, labels={"selftest": True}
        )
        self._wait(lambda: self._liveness(client, child_id) == "ALIVE", "the child did not become ALIVE")
        self._wait(lambda: self._liveness(client, child_id) != "ALIVE", "the silence of the child was not detected")
        return f"TRON detected the silence of a child with a heartbeat interval of {INTERVAL:g} s"

    def _be_judged(self, client: RegistryClient, child_id: str) -> str:
        self._wait(
            lambda: bool(client.list_events(service_id=child_id, types=("service_down",)).events),
            "the child was not declared down",
        )
        event = client.list_events(service_id=child_id, types=("service_down",)).events[0]
        return f"TRON declared the child down ({event.cause}) after {event.missed_beats} missed heartbeats"

    def _be_notified(self, parent: Agent, child_id: str) -> str:
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            alert = parent.take_alert(_LOOK_EVERY)
            if alert is None:
                continue
            alert.acknowledge()
            if alert.service_id == child_id and alert.type == "service_down":
                return messages.PARENT_NOTIFIED
        raise PhaseFailed(messages.parent_not_notified(self.patience))

    def _wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + self.patience
        while not condition():
            if time.monotonic() > deadline:
                raise PhaseFailed(f"{otherwise} within {self.patience:g} s")
            time.sleep(_LOOK_EVERY)

    @staticmethod
    def _liveness(client: RegistryClient, service_id: str) -> str:
        from tron_client.errors import ServiceNotFound

        try:
            return client.get_service(service_id).liveness
        except ServiceNotFound:
            return ""


@connects
def selftest(
    registry: RegistryOption = DEFAULT_REGISTRY,
    monitor: MonitorOption = "",
    as_json: JsonOption = False,
    patience: Annotated[float, typer.Option(min=1.0, metavar="SECONDS", help="How long each phase may take.")] = 10.0,
) -> None:
    """Check that TRON detects a silent agent and notifies its parent.

    The check runs on the live system with two temporary services. The command exits with code 1 if the check fails.
    """
    test = SelfTest(registry, monitor_address_of(monitor, registry), patience)
    passed = test.run()
    if as_json:
        phases = [
            {"name": each.name, "passed": each.passed, "seconds": each.seconds, "detail": each.detail}
            for each in test.phases
        ]
        print_json({"passed": passed, "phases": phases})
    else:
        for number, phase in enumerate(test.phases, 1):
            reached = phase.detail != "not reached"
            mark = "[green]PASS[/]" if phase.passed else "[red]FAIL[/]" if reached else "[dim]SKIP[/]"
            out.print(
                f"{mark}  {number} {phase.name:<18} {phase.seconds:6.2f} s  {escape(phase.detail)}", soft_wrap=True
            )
        out.print(messages.SELF_TEST_PASSED if passed else messages.SELF_TEST_FAILED)
    raise typer.Exit(0 if passed else 1)
