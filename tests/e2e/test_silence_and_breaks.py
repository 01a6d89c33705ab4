"""Programs that freeze, die or lose their network, each as the table of docs/failure-model.md says: cause and time.

All cases run side by side against one system, and each is then looked at by a test of its own. The long ones are left
to `make endurance`. Times are attentive ones of the registry: a machine that is busy with other tests is no fault.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tron_client import Event, MonitorClient, RegistryClient, Service, ServiceNotFound

from tests.support.agents import agents
from tests.support.binaries import find_binary
from tests.support.networks import Machine, Network, NotPossible, network
from tests.support.processes import Registry, start_monitor, start_registry
from tests.support.waiting import wait_until
from tron.policy import Policy

PROTO = Path(__file__).parents[2] / "proto"
NODE_AGENT = Path(__file__).parents[1] / "support" / "node_agent.js"
NODE_PACKAGES = ("@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1")
POLICY = Policy()
LATE = 0.6
"""Attentive seconds that a judgement may come after its deadline: two ticks, the way, and a machine that is shared."""

SLOW_MACHINE = 3.0
"""The same in real seconds, where only these are known."""

BEFORE = 2.0
"""Seconds by which busy time may have been announced before the last beat, from which we count."""

ATTEMPTS = 3
"""How often a case is tried on a machine on which the registry stalls."""

NEEDS = {"cut": "ip", "power_off": "ip", "block": "node"}


@dataclass(frozen=True)
class Case:
    """An agent that beats, may announce to be busy, and to which something happens right after a beat."""

    fault: str
    """stop, block (its loop), cut (its network), power_off (its machine), kill."""
    interval: float
    lasts: float = 0.0
    busy: float = 0.0
    attempt: int = 0

    @property
    def name(self) -> str:
        """For people, and as a service id."""
        busy = f"-busy-{self.busy:g}" if self.busy else ""
        again = f"-again-{self.attempt}" if self.attempt else ""
        return f"{self.fault}-{self.lasts:g}s-every-{self.interval:g}s{busy}{again}"

    @property
    def heals(self) -> bool:
        """Whether it is made good after `lasts`."""
        return self.fault not in ("kill", "power_off")

    def expected(self) -> list[tuple[str, str, float]]:
        """What is recorded: type, cause, and how many seconds after the last beat; -1: at once, or after the grace."""
        if self.fault == "kill":
            return [("service_suspect", "DISCONNECTED", -1), ("service_down", "DISCONNECTED", -1)]
        found = []
        for kind, misses in (("heartbeat_miss", 1), ("service_down", 2), ("service_deregistered", 3)):
            at = self.busy + POLICY.silence(self.interval, misses)
            if at < self.lasts:
                found.append((kind, "SILENT", at))
        if len(found) > 1 and self.heals:
            found.append(("heartbeat_restored", "", -1))
        return found


@dataclass
class Outcome:
    """What became of it."""

    events: list[Event]
    began: float
    """When the fault began, in seconds since the epoch."""
    before: Service
    after: Service | None
    kept: bool
    """Whether it is still on the stream on which it was."""


@dataclass
class Rig:
    """A registry and a TRON, and where to find agents for them."""

    registry: Registry
    client: RegistryClient
    tron: MonitorClient
    folder: Path
    network: Network | None = None
    at_once: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(4))
    """So many agents start at the same time: starting is what costs."""
    machines: dict[str, str] = field(default_factory=dict)
    """The addresses of machines that lost power, by case."""

    @property
    def stalls(self) -> int:
        """How often the registry itself stood still: on a machine that has too much to do."""
        return self.registry.log.count("registry_stalled")

    def find(self, service_id: str) -> Service | None:
        """The record; None if there is none."""
        try:
            return self.client.get_service(service_id)
        except ServiceNotFound:
            return None


Say = Callable[[str], None]


@contextmanager
def python_agent(rig: Rig, case: Case, machine: Machine | None) -> Iterator[tuple[int, Say]]:
    """An agent on the SDK."""
    declared = {"service_id": case.name, "heartbeat_interval": case.interval}
    with agents(rig.registry.address, declared, under=machine.under if machine else ()) as running:
        yield running.process.pid, running.say


@contextmanager
def node_agent(rig: Rig, case: Case) -> Iterator[tuple[int, Say]]:
    """An agent in JavaScript, which beats from the loop that it works in."""
    command = ["node", str(NODE_AGENT), rig.registry.address, str(PROTO), case.name, f"{case.interval:g}"]
    modules = {**os.environ, "NODE_PATH": str(rig.folder / "node_modules")}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=rig.folder, env=modules
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin = process.stdin

    def say(line: str) -> None:
        stdin.write(line + "\n")
        stdin.flush()

    try:
        assert process.stdout.readline().strip() == "registered"
        yield process.pid, say
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def play(rig: Rig, case: Case) -> Outcome:
    """Let it happen, and return what was recorded; once more if the registry itself stalled, for then it waits."""
    for attempt in range(ATTEMPTS):
        stalls = rig.stalls
        if stalls:
            wait_until(lambda: _hears_for(rig) > POLICY.reattach_window, 60, "the registry hears for a while")
        try:
            outcome = _play(rig, replace(case, attempt=attempt))
        except AssertionError:
            if rig.stalls == stalls or attempt == ATTEMPTS - 1:
                raise
        else:
            if rig.stalls == stalls:
                return outcome
    return outcome


def _play(rig: Rig, case: Case) -> Outcome:
    with ExitStack() as stack:
        machine = None
        if NEEDS.get(case.fault) == "ip":
            assert rig.network is not None
            machine = stack.enter_context(rig.network.machine())
        agent = node_agent(rig, case) if case.fault == "block" else python_agent(rig, case, machine)
        with rig.at_once:
            pid, say = stack.enter_context(agent)
        if case.busy:
            say(f"busy {case.busy:g}")
            wait_until(lambda: _found(rig, case).busy_until, 30, "it is known to be busy")
        if machine is not None:
            machine.hears_nothing()  # so that what the beat is answered stays in flight
        say("beat last")
        wait_until(lambda: _found(rig, case).message == "last", 30, "the last beat is heard")
        before, attached_before = _found(rig, case), _attached_at(rig, case)
        began = time.time()
        _begin(case, pid, say, machine)
        if case.fault == "power_off":
            assert machine is not None
            rig.machines[case.name] = machine.address
        over = _attentive(rig) + case.lasts
        real = time.monotonic() + case.lasts
        wait_until(lambda: time.monotonic() >= real, case.lasts + 5)
        wait_until(lambda: _attentive(rig) >= over, case.lasts + 60, "the registry heard for as long")
        _end(case, pid, machine)
        if case.heals:
            say("beat again")
        expected = [kind for kind, *_ in case.expected()]

        def at_rest() -> bool:
            record = rig.find(case.name)
            if case.heals and (record is None or not record.connected or _heard_at(record) <= _heard_at(before)):
                return False
            told = [event.type for event in _events(rig, case)]
            return len(told) >= len(expected) and (not case.heals or _is_alive(record))

        wait_until(at_rest, case.interval + 30, f"{case.name} is at rest; recorded: {_events(rig, case)}")
        after = rig.find(case.name)
        kept = case.heals and abs(_attached_at(rig, case) - attached_before) < 1.0
        return Outcome(_events(rig, case), began, before, after, kept)


def _begin(case: Case, pid: int, say: Say, machine: Machine | None) -> None:
    match case.fault:
        case "stop":
            os.kill(pid, signal.SIGSTOP)
        case "kill":
            os.kill(pid, signal.SIGKILL)
        case "block":
            say(f"block {case.lasts:g}")
        case _:
            assert machine is not None
            machine.cut()
            if case.fault == "power_off":
                os.kill(pid, signal.SIGKILL)
                machine.remove()


def _end(case: Case, pid: int, machine: Machine | None) -> None:
    if case.fault == "stop":
        os.kill(pid, signal.SIGCONT)
    elif case.fault == "cut" and machine is not None:
        machine.heal()


def _hears_for(rig: Rig) -> float:
    return float(rig.tron.explain("service-registry").evidence["registry_hears_for_seconds"])


def _attentive(rig: Rig) -> float:
    """Attentive seconds of the registry, since its own agent was attached."""
    return _attached_for(rig, "service-registry")


def _attached_for(rig: Rig, service_id: str) -> float:
    """Seconds since a stream took it up, once TRON knows that one did."""
    found = wait_until(lambda: rig.tron.explain(service_id).evidence.get("attached_for_seconds", 0.0), 10, service_id)
    return float(found)


def _attached_at(rig: Rig, case: Case) -> float:
    """When a stream took it up, in the same seconds."""
    attached_for = _attached_for(rig, case.name)
    return _attentive(rig) - attached_for


def _found(rig: Rig, case: Case) -> Service:
    found = rig.find(case.name)
    assert found is not None, f"{case.name} is gone"
    return found


def _is_alive(record: Service | None) -> bool:
    return record is not None and record.liveness == "ALIVE"


def _heard_at(record: Service) -> float:
    assert record.last_heartbeat_at is not None
    return record.last_heartbeat_at.timestamp()


def _events(rig: Rig, case: Case) -> list[Event]:
    return list(rig.client.list_events(service_id=case.name, limit=100).events)


# --- cases ----------------------------------------------------------------------------------------------------------

SHORT = (
    # The stream of a frozen program stays, however long its interval is, and busy time holds.
    Case("stop", 15, 22),
    Case("stop", 60, 22),
    Case("stop", 15, 22, busy=60),
    Case("stop", 3, 12),
    Case("stop", 3, 18, busy=5),
    Case("kill", 60),
    Case("kill", 15, busy=60),
    Case("block", 15, 20),
    Case("block", 60, 20, busy=60),
    Case("cut", 15, 6),
    Case("cut", 60, 6),
    Case("cut", 15, 20),
    Case("cut", 60, 20, busy=60),
    Case("power_off", 3, 12),
)

LONG = (
    *(Case("stop", interval, lasts, busy) for interval in (15, 60) for lasts in (25, 120) for busy in (0, 60)),
    *(Case("block", interval, 25, busy) for interval in (15, 60) for busy in (0, 60)),
    *(Case("cut", interval, lasts, busy) for interval in (15, 60) for lasts in (6, 20, 300) for busy in (0, 60)),
    *(Case("kill", interval, busy=busy) for interval in (15, 60) for busy in (0, 60)),
    Case("power_off", 15, 60),
    Case("power_off", 60, 200),
)


def _parameters(cases: tuple[Case, ...]) -> list[Any]:
    needed = {case: [pytest.mark.needs(NEEDS[case.fault])] if case.fault in NEEDS else [] for case in cases}
    return [pytest.param(case, marks=marks, id=case.name) for case, marks in needed.items()]


@contextmanager
def played(folder: Path, cases: tuple[Case, ...]) -> Iterator[tuple[Rig, dict[Case, Future[Outcome]]]]:
    """A system in which all these cases happen at the same time, as far as this machine can make them happen."""
    possible = {case for case in cases if case.fault not in NEEDS or find_binary(NEEDS[case.fault])}
    with ExitStack() as stack:
        net = None
        try:
            net = stack.enter_context(network())
        except NotPossible as error:
            print(f"no network namespaces: {error}", file=sys.stderr)
            possible -= {case for case in possible if NEEDS.get(case.fault) == "ip"}
        if any(case.fault == "block" for case in possible):
            (folder / "package.json").write_text("{}")
            install = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *NODE_PACKAGES]
            subprocess.run(install, cwd=folder, check=True, timeout=100, capture_output=True)
        listen = f"{net.address}:0" if net is not None else "127.0.0.1:0"
        registry = stack.enter_context(start_registry(folder / "registry", "--insecure-listen", listen=listen))
        monitor = stack.enter_context(start_monitor(folder / "monitor", registry.address))
        client = stack.enter_context(RegistryClient(registry.address))
        tron = stack.enter_context(MonitorClient(monitor.address))
        wait_until(lambda: tron.get_stats().watching, 10, "TRON watches")
        tron.set_policy(guard_ratio=1.0)  # they fail at the same time by our will
        rig = Rig(registry, client, tron, folder, net)
        workers = stack.enter_context(ThreadPoolExecutor(len(cases)))
        yield rig, {case: workers.submit(play, rig, case) for case in cases if case in possible}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, dict[Case, Future[Outcome]]]]:
    """The short cases."""
    with played(tmp_path_factory.mktemp("silence"), SHORT) as found:
        yield found


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, dict[Case, Future[Outcome]]]]:
    """The long ones."""
    with played(tmp_path_factory.mktemp("endurance"), LONG) as found:
        yield found


def check(case: Case, outcomes: dict[Case, Future[Outcome]], timeout: float) -> None:
    """What was recorded is what had to be, for the right cause and in time."""
    if case not in outcomes:
        pytest.skip("this machine does not let us make network namespaces")
    outcome = outcomes[case].result(timeout)
    recorded = [(event.type, str(event.cause), event) for event in outcome.events]
    for kind, cause, event in recorded:
        silent = event.details.get("silent_for_seconds", 0.0)
        late = event.details.get("judged_late_by_seconds", 0.0)
        print(f"{case.name}: {kind} {cause} {silent:.2f} s after the last beat, {late:.2f} s late")
    expected = case.expected()
    assert [(kind, cause) for kind, cause, _ in recorded] == [(kind, cause) for kind, cause, _ in expected]
    for (*_, event), (kind, _, at) in zip(recorded, expected, strict=True):
        silent = event.details.get("silent_for_seconds", 0.0)
        if case.fault == "kill":
            assert event.occurred_at is not None
            after = event.occurred_at.timestamp() - outcome.began
            earliest = 0.0 if kind == "service_suspect" else POLICY.reconnect_grace
            assert earliest - 0.05 <= after <= earliest + SLOW_MACHINE, f"{kind} came {after:.3f} s after the kill"
            assert event.details.get("judged_late_by_seconds", 0.0) <= LATE
        elif at >= 0:
            early = BEFORE if case.busy else 0.05
            assert at - early <= silent <= at + LATE, f"{kind} came {silent:.3f} s after the last beat, due at {at:g} s"
    if case.heals:
        assert outcome.after is not None
        assert (outcome.after.liveness, outcome.after.connected) == ("ALIVE", True)
        if not any(kind == "service_down" for kind, *_ in expected):
            # Nobody ended the stream: neither keepalive, nor the kernel, nor the SDK.
            assert outcome.kept
            assert outcome.after.incarnation == outcome.before.incarnation


@pytest.mark.parametrize("case", _parameters(SHORT))
def test_it_is_judged_for_the_right_cause_and_in_time(
    case: Case, short: tuple[Rig, dict[Case, Future[Outcome]]]
) -> None:
    check(case, short[1], 110)


def test_streams_of_the_silent_are_ended_by_the_registry_and_counted(
    short: tuple[Rig, dict[Case, Future[Outcome]]],
) -> None:
    rig, outcomes = short
    for outcome in outcomes.values():
        outcome.result(90)
    silent = [case for case in outcomes if any(kind == "service_down" for kind, *_ in case.expected())]
    silent = [case for case in silent if case.fault != "kill"]
    assert len(silent) >= 2
    wait_until(lambda: rig.registry.log.count("stream_reclaimed") >= len(silent), 5, "each of them is counted")


@pytest.mark.endurance
@pytest.mark.timeout(700)
@pytest.mark.parametrize("case", _parameters(LONG))
def test_it_is_judged_for_the_right_cause_and_in_time_however_long_it_takes(
    case: Case, long: tuple[Rig, dict[Case, Future[Outcome]]]
) -> None:
    check(case, long[1], 500)


@pytest.mark.endurance
@pytest.mark.needs("ss")
@pytest.mark.timeout(700)
def test_no_socket_of_a_machine_that_is_gone_stays(long: tuple[Rig, dict[Case, Future[Outcome]]]) -> None:
    rig, outcomes = long
    gone = [case for case in outcomes if case.fault == "power_off"]
    for case in gone:
        outcomes[case].result(500)
    assert len(rig.machines) >= len(gone)

    def connections() -> str:
        listed = subprocess.run(["ss", "-Htnp", "state", "established"], capture_output=True, text=True, check=True)
        lines = listed.stdout.splitlines()
        return "\n".join(line for line in lines for address in rig.machines.values() if f"{address}:" in line)

    wait_until(lambda: not connections(), 120, f"the registry lets go of the sockets:\n{connections()}")
