"""Runs a demo fleet: every row of a catalogue is an agent in a process of its own, which users can kill or stop by
orders.

Each agent has its own process so that a kill is a real kill: SIGKILL breaks the agent's stream as a crash would, and
SIGSTOP hangs that agent alone; threads or tasks of one process could only imitate this. A process is affordable: an
agent takes about 0.15 s of one core to start and 20 MB of memory, so some thirty agents are alive within a few seconds
on two cores. The import of grpc takes most of the start time. A process that has imported grpc must not fork, so each
agent must import grpc even if all agents are forked from one process, and such a process would save little.

The fleet owns the processes but restarts none of them on its own: a parent asks the fleet to restart its child.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tron_cli import messages
from tron_cli.orders import OrderRefused, take_orders
from tron_cli.process_policy import describe_exit
from tron_cli.tether import tethered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tron_cli.fleet_file import FleetFile, Row

_LEAVE_SECONDS = 5.0
"""Seconds within which the agents must leave when the fleet ends."""
_START_SECONDS = 60.0
"""Seconds within which an agent must be registered."""


class FleetError(OrderRefused):
    """An agent could not be started."""


@dataclass(slots=True, eq=False)
class Member:
    """One agent and its process."""

    row: Row
    supervises: bool
    process: asyncio.subprocess.Process | None = None
    # Killed by order, and killed again as soon as somebody starts it, until it is resumed.
    doomed: bool = False
    hung: bool = False
    stalled: bool = False
    expected: bool = False  # that its process ends now
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)  # one start or end at a time

    @property
    def service_id(self) -> str:
        """The service id of the agent."""
        return self.row.service_id

    @property
    def running(self) -> bool:
        """Whether the agent has a process. A process that is suspended (SIGSTOP) counts too."""
        return self.process is not None and self.process.returncode is None

    @property
    def pid(self) -> int:
        """The pid of the agent's process; 0 without a process."""
        return self.process.pid if self.process is not None and self.running else 0


class Fleet:
    """Runs the rows of a catalogue as agents, except rows for programs of the system, and carries out orders from a
    socket."""

    def __init__(
        self,
        catalogue: FleetFile,
        registry: str,
        control: Path,
        command: Sequence[str],
        report: Callable[[str], None],
    ) -> None:
        """`command` starts one agent, which reads its declaration from stdin. `report` prints the messages for
        people."""
        self._catalogue = catalogue
        self._registry = registry
        self._control = control
        self._command = list(command)
        self._report = report
        self._members = {
            row.service_id: Member(row, bool(catalogue.children_of(row))) for row in catalogue.rows if not row.system
        }
        self._leaving = False
        self._watches: set[asyncio.Task[None]] = set()  # one for each process

    @property
    def members(self) -> tuple[Member, ...]:
        """All agents, in the order of the catalogue."""
        return tuple(self._members.values())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start all agents and accept orders until the block ends; then stop all agents. Raises FleetError if an agent
        cannot be started, and ControlError if the socket cannot be used."""
        try:
            async with take_orders(self._control, self.obey):
                await self._start_all()
                yield
        finally:
            self._leaving = True
            await self._end_all()

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order and return the answer. Raises OrderRefused if the order is invalid or cannot be carried
        out."""
        acts = {
            "kill": self._kill,
            "kill-once": self._kill_once,
            "hang": self._hang,
            "stall": self._stall,
            "resume": self._resume,
            "restart": self._restart,
        }
        act = acts.get(str(order.get("do", "")))
        if act is None:
            raise OrderRefused(messages.unknown_order(order.get("do"), acts))
        member = self._find(str(order.get("id", "")))
        if self._leaving:
            raise OrderRefused(messages.DEMO_IS_ENDING)
        async with member.busy:
            told = await act(member, str(order.get("by", "")))
        return {"id": member.service_id, "name": member.row.name, "pid": member.pid, "did": told}

    # --- what can be done to one ------------------------------------------------------------------------------------

    async def _kill(self, member: Member, _: str) -> str:
        await self._kill_once(member, "")
        member.doomed = True
        return messages.KILLED_UNTIL_RESUMED

    async def _kill_once(self, member: Member, _: str) -> str:
        if not member.running:
            raise _does_not_run(member)
        await self._end(member)
        self._report(f"{member.service_id} was killed")
        return messages.KILLED

    async def _hang(self, member: Member, _: str) -> str:
        self._signal(member, signal.SIGSTOP)
        member.hung = True
        self._report(f"{member.service_id} was stopped and sends no heartbeats")
        return messages.STOPPED

    async def _stall(self, member: Member, _: str) -> str:
        self._send(member, "freeze")
        member.stalled = True
        self._report(f"{member.service_id} stalls: it makes no progress")
        return messages.MADE_TO_STALL

    async def _resume(self, member: Member, _: str) -> str:
        member.doomed = False
        if not member.running:
            await self._start(member)
            self._report(f"{member.service_id} was restarted")
            return messages.STARTED_AGAIN
        if not (member.hung or member.stalled):
            return messages.LEFT_ALONE
        if member.stalled:
            self._send(member, "thaw")
        if member.hung:
            self._signal(member, signal.SIGCONT)
        member.hung = member.stalled = False
        self._report(f"{member.service_id} was resumed")
        return messages.MADE_TO_CONTINUE

    async def _restart(self, member: Member, by: str) -> str:
        """Restart an agent for its parent: kill what is left of the process, and start a new one."""
        self._report(f"{member.service_id} is restarted{f' by {by}' if by else ''}")
        await self._end(member)
        if member.doomed:
            await self._spawn(member)
            await self._end(member)
            raise FleetError(messages.killed_before_it_registered(member.service_id))
        await self._start(member)
        return messages.STARTED_AGAIN

    def _find(self, word: str) -> Member:
        row = self._catalogue.find(word)
        if row is None:
            meant = " or ".join(difflib.get_close_matches(word, self._members))
            raise OrderRefused(
                f"no agent {word!r} in this fleet; {f'did you mean {meant}?' if meant else 'see: tron services'}"
            )
        if row.system:
            raise OrderRefused(messages.of_the_system(row.service_id))
        return self._members[row.service_id]

    def _signal(self, member: Member, number: int) -> None:
        if member.process is None or not member.running:
            raise _does_not_run(member)
        member.process.send_signal(number)

    def _send(self, member: Member, word: str) -> None:
        if not member.running or member.process is None or member.process.stdin is None:
            raise _does_not_run(member)
        with contextlib.suppress(ConnectionError):  # it ended just now, which is noticed elsewhere
            member.process.stdin.write(f"{word}\n".encode())

    # --- processes --------------------------------------------------------------------------------------------------

    async def _start_all(self) -> None:
        # More at a time than cores, for each also waits for the registry; not all, or each would be late.
        room = asyncio.Semaphore(4 * (os.cpu_count() or 1))

        async def start(member: Member) -> None:
            async with room, member.busy:
                await self._start(member)

        started = await asyncio.gather(*(start(member) for member in self.members), return_exceptions=True)
        failures = [each for each in started if isinstance(each, BaseException)]
        for failure in failures:
            if not isinstance(failure, FleetError):
                raise failure
        if failures:
            raise FleetError("; ".join(map(str, failures)))

    async def _start(self, member: Member) -> None:
        """Start the process of an agent, and return once the agent is registered. Raises FleetError if the process ends
        before, or the agent is not registered in time."""
        process = await self._spawn(member)
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
        except TimeoutError:
            raise FleetError(messages.not_registered_within(member.service_id, _START_SECONDS)) from None
        if not line:
            code = await process.wait()
            raise FleetError(messages.ended_before_registered(member.service_id, describe_exit(code)))

    async def _spawn(self, member: Member) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *tethered([*self._command, member.service_id]),  # for people who look at the processes
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal reaches the fleet only
        )
        assert process.stdin is not None
        order = {
            "registry": self._registry,
            "control": str(self._control),
            "service": member.row.declaration(),
            "supervises": member.supervises,
        }
        process.stdin.write(json.dumps(order).encode() + b"\n")
        member.process, member.hung, member.stalled, member.expected = process, False, False, False
        watch = asyncio.create_task(self._watch(member, process))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        return process

    async def _watch(self, member: Member, process: asyncio.subprocess.Process) -> None:
        """Report the end of a process that the fleet did not end."""
        code = await process.wait()
        if not (member.expected or self._leaving):
            self._report(f"{member.service_id} {describe_exit(code)}")

    async def _end(self, member: Member) -> None:
        """Kill the process of an agent, if it is running, and reap it."""
        if member.process is not None and member.running:
            member.expected = True
            with contextlib.suppress(ProcessLookupError):
                member.process.kill()
            await member.process.wait()

    async def _end_all(self) -> None:
        """Ask all agents to leave, and kill those that have not left after `_LEAVE_SECONDS`."""
        left = [member for member in self.members if member.running]
        for member in left:
            with contextlib.suppress(OrderRefused, ProcessLookupError):
                self._signal(member, signal.SIGTERM)
                self._signal(member, signal.SIGCONT)  # one that hangs can say goodbye as well
        waits = [asyncio.create_task(member.process.wait()) for member in left if member.process is not None]
        if waits:
            await asyncio.wait(waits, timeout=_LEAVE_SECONDS)
        for member in left:
            await self._end(member)
        await asyncio.gather(*self._watches)


def _does_not_run(member: Member) -> OrderRefused:
    return OrderRefused(messages.does_not_run(member.service_id))


def report(text: str) -> None:
    """Print a message for people on stderr."""
    print(f"tron demo: {text}", file=sys.stderr, flush=True)
