"""Keeps the child processes of `tron up` running, and stops them in order. It carries out the decisions of
`process_policy`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grid_hosting.start import absolute, reason
from grid_hosting.whole_file import write_whole
from tron_cli import messages
from tron_cli.process_policy import ChildLife, GiveUp, RestartPolicy, Serving, describe_exit, ready_document
from tron_cli.tether import tethered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

# How long a child may drain before it is killed; a container's grace is often 10 s for the whole.
_DRAIN_SECONDS = 8.0
# How often the ready file of a child that starts is looked for. Deaths are not polled for.
_READY_POLL_SECONDS = 0.02
_SLOW_START_SECONDS = 15.0
# How often a ready file that cannot be written, because the disk is full or read-only for a while, is tried again.
_WRITE_AGAIN_SECONDS = 1.0


class ChildNeverServed(Exception):
    """A child refused to start, or died repeatedly without ever having served."""


@dataclass(slots=True, eq=False)
class Child:
    """A program that is kept running. When it is ready, it writes a JSON object with its address, under `address_key`,
    to its ready file."""

    name: str
    address_key: str
    listen: str
    command: Callable[[str, Path, dict[str, str]], Sequence[str]]
    life: ChildLife
    # Further addresses that it listens on, by their keys in the ready file; a restarted child keeps them too.
    more: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None
    serving: Serving | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def process_id(self) -> int:
        """The pid of the process that was started last; 0 before the first start."""
        return 0 if self.process is None else self.process.pid

    def send(self, signal_number: int) -> None:
        """Send a signal to the process, if it is running."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal_number)


def child(
    name: str,
    address_key: str,
    listen: str,
    command: Callable[[str, Path, dict[str, str]], Sequence[str]],
    policy: RestartPolicy | None = None,
    more: dict[str, str] | None = None,
) -> Child:
    """Return a child. `command` returns the command line of the child. Its arguments are the listen address, the ready
    file, and a dictionary with the addresses of the earlier children and the additional addresses of this child."""
    return Child(name, address_key, listen, command, ChildLife(policy or RestartPolicy()), dict(more or {}))


class Supervisor:
    """Starts the children in order, and restarts each child that dies. A child is started once the addresses of all
    earlier children are known.

    `scratch` is an existing folder for the children's ready files; `on_ready` is called once, when all children serve.
    """

    def __init__(
        self,
        children: Iterable[Child],
        *,
        scratch: Path,
        ready_file: Path | None = None,
        on_ready: Callable[[tuple[Serving, ...]], None] = lambda serving: None,
    ) -> None:
        self._children = tuple(children)
        self._scratch = scratch
        self._ready_file = ready_file
        self._on_ready = on_ready
        self._stop_wanted = asyncio.Event()
        self._killed = False
        self._announced = False

    def stop(self) -> None:
        """Drain all children. At a second call, kill them."""
        if not self._stop_wanted.is_set():
            self._stop_wanted.set()
            return
        self._killed = True
        _print(messages.KILLING_THE_REST)
        for each in self._children:
            each.send(signal.SIGKILL)

    async def run(self) -> int:
        """Run until stopped; return the exit code: 0 if the children were drained, 1 if a child never served, 130 if a
        second call of `stop` killed the children."""
        loop = asyncio.get_running_loop()
        handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in handled:
            loop.add_signal_handler(number, self.stop)
        tending = {each: loop.create_task(self._tend(each), name=each.name) for each in self._children}
        stopped = loop.create_task(self._stop_wanted.wait())
        try:
            await asyncio.wait({stopped, *tending.values()}, return_when=asyncio.FIRST_COMPLETED)
            failures = [task.exception() for task in tending.values() if task.done()]
        finally:
            await self._drain(tending)
            stopped.cancel()
            for number in handled:
                loop.remove_signal_handler(number)
            if self._ready_file is not None:
                with contextlib.suppress(OSError):
                    self._ready_file.unlink(missing_ok=True)  # it would promise what is no longer there
        for failure in failures:
            if isinstance(failure, ChildNeverServed):
                _print(str(failure))
                return 1
            if failure is not None:
                raise failure
        return 130 if self._killed else 0

    async def _tend(self, each: Child) -> None:
        """Start a child, and start it again each time that it ends, until the supervisor stops. Raises
        ChildNeverServed."""
        before = self._children[: self._children.index(each)]
        for earlier in before:
            # Addresses are known beforehand, but where any free port is taken; who comes first waits for the other. A
            # child that listens nowhere only uses the others, and must not take the processor from them.
            waits = not each.listen or earlier.listen.endswith(":0")
            if waits and not await _first_of(earlier.ready, each.leaving):
                return
        while not each.leaving.is_set():
            ready_file = self._scratch / f"{each.name}-{each.life.starts}.json"
            addresses = {earlier.address_key: earlier.listen for earlier in before} | each.more
            command = tethered(list(each.command(each.listen, ready_file, addresses)))
            each.life.started(time.monotonic())
            # A session of its own: Ctrl-C in the terminal reaches the supervisor only, which then drains in order.
            each.process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
            )
            if each.leaving.is_set():
                each.send(signal.SIGKILL if self._killed else signal.SIGTERM)
            ended = asyncio.create_task(each.process.wait())
            announced = asyncio.create_task(self._await_ready(each, ready_file))
            await asyncio.wait({ended, announced}, return_when=asyncio.FIRST_COMPLETED)
            if announced.done():
                announced.result()  # a ready file that cannot be read or written ends the supervisor, loudly
            code = await ended
            announced.cancel()
            each.serving = None
            if each.leaving.is_set():
                return
            decision = each.life.died(time.monotonic(), code)
            if isinstance(decision, GiveUp):
                times = "" if decision.attempts == 1 else f", {decision.attempts} times in a row,"
                raise ChildNeverServed(
                    f"{each.name} {describe_exit(code)}{times} before it served; see its error above"
                )
            _print(messages.restarting(each.name, describe_exit(code), decision.delay))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(each.leaving.wait(), decision.delay)

    async def _await_ready(self, each: Child, ready_file: Path) -> None:
        """Wait for the child's ready file, then record the child as serving. Raises OSError if the ready file of the
        system cannot be written when all children serve for the first time."""
        warn_at = time.monotonic() + _SLOW_START_SECONDS
        while (document := _read_ready(ready_file)) is None:
            if time.monotonic() >= warn_at:
                warn_at += _SLOW_START_SECONDS
                _print(messages.still_not_ready(each.name))
            await asyncio.sleep(_READY_POLL_SECONDS)
        # Whatever port was asked for, from now on the child keeps the one it got.
        each.listen = str(document[each.address_key])
        more = {key: str(document[key]) for key in each.more}
        # What it could not listen on, and runs without, is tried again when it is restarted.
        each.more = {key: address or each.more[key] for key, address in more.items()}
        each.serving = Serving(each.name, each.address_key, each.listen, each.process_id, more, document)
        each.life.served()
        each.ready.set()
        if each.life.starts > 1:
            _print(messages.serving_again(each.name, each.listen, each.serving.pid))
        while not self._announce():  # noqa: ASYNC110 - nothing says when a disk takes files again
            await asyncio.sleep(_WRITE_AGAIN_SECONDS)

    def _announce(self) -> bool:
        """Write the ready file of the system if all children serve. Return False if it could not be written and must be
        written again."""
        serving = tuple(each.serving for each in self._children if each.serving is not None)
        if len(serving) < len(self._children) or self._stop_wanted.is_set():
            return True
        if self._ready_file is not None:
            try:
                write_whole(self._ready_file, json.dumps(ready_document(serving)) + "\n")
            except OSError as error:
                if not self._announced:
                    raise
                # The programs run; nobody is helped if they end because the file that says so is old.
                _print(messages.ready_file_not_written(absolute(self._ready_file), reason(error)))
                return False
        if not self._announced:
            self._announced = True
            self._on_ready(serving)
        return True

    async def _drain(self, tending: dict[Child, asyncio.Task[None]]) -> None:
        """End the children, the last one first, each with time to send a goodbye."""
        for each in self._children:
            each.leaving.set()  # a child that dies from now on is not restarted
        for each in reversed(self._children):
            each.send(signal.SIGKILL if self._killed else signal.SIGTERM)
            gone = asyncio.create_task(_gone(each, tending[each]))
            _, late = await asyncio.wait({gone}, timeout=_DRAIN_SECONDS)
            if late:
                _print(messages.did_not_drain(each.name, _DRAIN_SECONDS))
                each.send(signal.SIGKILL)
                await gone


async def _gone(each: Child, tending: asyncio.Task[None]) -> None:
    """Wait until a child's process has ended."""
    await asyncio.wait({tending})
    if each.process is not None:
        await each.process.wait()


async def _first_of(wanted: asyncio.Event, instead: asyncio.Event) -> bool:
    """Wait for either event; return whether `wanted` is set and `instead` is not."""
    waits = {asyncio.create_task(wanted.wait()), asyncio.create_task(instead.wait())}
    _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return not instead.is_set()


def _read_ready(path: Path) -> dict[str, object] | None:
    """Return the content of a child's ready file; None if it does not exist yet. Children write the file completely or
    not at all."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    document: dict[str, object] = json.loads(text)
    return document


def _print(text: str) -> None:
    print(f"tron up: {text}", file=sys.stderr, flush=True)
