"""Simulated links: ordered streams over paths that delay, stop in one direction or in both, and break.

A stream is what gRPC makes of TCP: nothing is lost or turned round inside it. What is lost is the stream. A path that
is blocked holds what was sent until it is open again (the kernel sends it again), or until the client's keepalive ends
the stream. The registry's end is never ended by keepalive: it learns of the end when that arrives, perhaps long after
the network healed, or never. So the words of a stream that its client has abandoned may still arrive, behind those of
the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from tests.simulation.loop import Act, Loop, Process

UP, DOWN = 0, 1
KEEPALIVE = (10.0, 40.0)
"""Seconds until a client finds a dead connection: `keepalive_time` to that plus `keepalive_timeout` of the SDK."""
SENT_AGAIN = 1.0
"""Seconds within which the kernel sends again what was held up."""
CONNECT_TIMEOUT = 5.0
SYN_AGAIN = (1.0, 3.0)
"""Seconds after which the kernel tries again to connect."""
REDIAL_FIRST, REDIAL_FACTOR, REDIAL_LAST, REDIAL_JITTER = 0.1, 1.6, 2.0, 0.2
"""The reconnect back-off of a channel, as `tron_client.channel` sets it."""


class Path:
    """The network between one client and the registry. Faults count, so that two may overlap."""

    def __init__(self, loop: Loop, dice: Random, delay: tuple[float, float]) -> None:
        self.loop = loop
        self.dice = dice
        self.delay = delay
        self.extra = 0.0
        """Seconds that a slow network adds at most."""
        self.blocked = [0, 0]
        self.blocked_since: list[float | None] = [None, None]
        self.opened_at = 0.0
        """When it was last opened again."""
        self.connections: dict[Connection, None] = {}

    def draw(self) -> float:
        """How long the next message travels."""
        low, high = self.delay
        return low + (high - low + self.extra) * self.dice.random()

    @property
    def open(self) -> bool:
        """Whether both directions work."""
        return not self.blocked[UP] and not self.blocked[DOWN]

    def block(self, *directions: int) -> None:
        """Nothing gets through any more, and neither end notices."""
        for direction in directions:
            self.blocked[direction] += 1
            if self.blocked[direction] == 1:
                self.blocked_since[direction] = self.loop.now
        for connection in list(self.connections):
            connection.disturbed()

    def unblock(self, *directions: int) -> None:
        """What was held goes on its way."""
        for direction in directions:
            self.blocked[direction] -= 1
            if not self.blocked[direction]:
                self.blocked_since[direction] = None
                self.opened_at = self.loop.now
                for connection in list(self.connections):
                    connection.release(direction, self.dice.uniform(0.0, SENT_AGAIN))

    def cut(self) -> None:
        """Every connection on it is reset; both ends notice."""
        for connection in list(self.connections):
            connection.reset()


class Connection:
    """One stream between a client and the registry. The handlers are called in the process that they belong to."""

    def __init__(self, path: Path, client: Process, server: Process) -> None:
        self.path = path
        self.ends = (server, client)  # who reads what goes up, and who reads what goes down
        self.lives = (server.life, client.life)
        self.open = [True, True]
        """Whether the server's and the client's end are open."""
        self.on_message: list[Callable[[Any], None]] = [_ignore, _ignore]
        self.on_end: list[Callable[[Exception | None], None]] = [_ignore, _ignore]
        self._last = [0.0, 0.0]
        self._held: list[list[Act]] = [[], []]
        self._disturbances = 0
        self._unwell = False
        for place in (path.connections, client.connections, server.connections):
            place[self] = None

    def up(self, message: Any) -> None:
        """The client says something."""
        if self.open[DOWN]:
            self._send(UP, partial(self._arrive, UP, message))

    def down(self, message: Any) -> None:
        """The registry says something."""
        if self.open[UP]:
            self._send(DOWN, partial(self._arrive, DOWN, message))

    def close(self, end: int, error: Exception | None = None) -> None:
        """One end lets go (UP: the registry's, DOWN: the client's); the other notices, after all that was sent."""
        if self.open[end]:
            self._shut(end)
            self._send(1 - end, partial(self._told_of_end, 1 - end, error))

    def reset(self) -> None:
        """Both ends learn at once that the connection is gone; what was on its way is lost."""
        for end in (UP, DOWN):
            self._held[end].clear()
            self._lose(end, None)

    def abandoned_by(self, process: Process) -> None:
        """The kernel of one end closes the connection, because the process died."""
        self.close(UP if process is self.ends[UP] else DOWN)

    def disturbed(self) -> None:
        """No ping comes back from now on: the client's end will notice, after its keepalive."""
        if self._unwell or self._is_well():
            return
        self._unwell = True
        self._disturbances += 1
        if self.open[DOWN]:
            patience = self.path.dice.uniform(*KEEPALIVE)
            self.path.loop.at(self.path.loop.now + patience, partial(self._lose_patience, self._disturbances))

    def recovered(self) -> None:
        """Something that was wrong with it is over."""
        if self._is_well():
            self._unwell = False
            self._disturbances += 1

    def release(self, direction: int, after: float) -> None:
        """The path is open again in this direction."""
        self.recovered()
        held, self._held[direction] = self._held[direction], []
        self._last[direction] = max(self._last[direction], self.path.loop.now + after)
        for act in held:
            self._send(direction, act)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _send(self, direction: int, act: Act) -> None:
        path = self.path
        if path.blocked[direction]:
            self._held[direction].append(act)
            return
        when = max(self._last[direction], path.loop.now + path.draw())
        self._last[direction] = when
        path.loop.at(when, act)

    def _arrive(self, end: int, message: Any) -> None:
        process = self.ends[end]
        if not self.open[end] or process.life != self.lives[end]:
            return
        if process.paused:
            process.receive(partial(self._read, end, message))
        else:
            self.on_message[end](message)

    def _read(self, end: int, message: Any) -> None:
        if self.open[end]:
            self.on_message[end](message)

    def _told_of_end(self, end: int, error: Exception | None) -> None:
        if self.ends[end].life == self.lives[end]:
            self.ends[end].receive(partial(self._lose, end, error))

    def _lose(self, end: int, error: Exception | None) -> None:
        if self.open[end] and self.ends[end].life == self.lives[end]:
            self._shut(end)
            self.on_end[end](error)

    def _is_well(self) -> bool:
        return self.path.open and not any(process.deaf_to_pings or process.vanished for process in self.ends)

    def _lose_patience(self, disturbance: int) -> None:
        end = DOWN
        process, other = self.ends[end], self.ends[1 - end]
        silent = other.deaf_to_pings or other.vanished
        if self._disturbances != disturbance or (self.path.open and not silent) or not self.open[end]:
            return
        if process.paused:
            self.path.loop.at(self.path.loop.now + KEEPALIVE[0], partial(self._lose_patience, disturbance))
        elif process.life == self.lives[end]:
            self._lose(end, None)
            self._send(1 - end, partial(self._told_of_end, 1 - end, None))

    def _shut(self, end: int) -> None:
        self.open[end] = False
        self.ends[end].connections.pop(self, None)
        if not (self.open[UP] or self.open[DOWN]):
            self.path.connections.pop(self, None)


class Channel:
    """How a client gets a connection: tries until it has one, as grpc does for a call that waits for it."""

    def __init__(self, client: Process, server: Process, path: Path) -> None:
        self._client = client
        self._server = server
        self._path = path
        self._failures = 0
        self._dial = 0

    def open(self, then: Callable[[Connection], None]) -> None:
        """Call `then` with a connection once there is one; a later call takes the place of this one."""
        self._dial += 1
        self._try(self._dial, then)

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._dial += 1

    def _try(self, dial: int, then: Callable[[Connection], None]) -> None:
        began = self._client.loop.now

        def attempt(again: int) -> None:
            if dial != self._dial:
                return
            if self._path.open and not self._server.up and not self._server.vanished:
                self._failed(dial, then)
            elif self._path.open and self._server.up and not self._server.paused:
                self._failures = 0
                then(Connection(self._path, self._client, self._server))
            elif again < len(SYN_AGAIN):
                self._client.later(
                    max(0.0, began + SYN_AGAIN[again] - self._client.loop.now), partial(attempt, again + 1)
                )
            else:
                wait = max(0.0, began + CONNECT_TIMEOUT - self._client.loop.now)
                self._client.later(wait, partial(self._failed, dial, then))

        self._client.later(2 * self._path.draw(), partial(attempt, 0))

    def _failed(self, dial: int, then: Callable[[Connection], None]) -> None:
        if dial != self._dial:
            return
        wait = min(REDIAL_LAST, REDIAL_FIRST * REDIAL_FACTOR**self._failures)
        self._failures += 1
        wait *= 1 + self._path.dice.uniform(-REDIAL_JITTER, REDIAL_JITTER)
        self._client.later(wait, partial(self._try, dial, then))


def _ignore(_: Any) -> None:
    """Nobody listens."""
