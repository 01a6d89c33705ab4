"""Virtual time: one heap of what will happen, and processes that can be stopped for a while, or die."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.network import Connection

Act = Callable[[], None]


class Loop:
    """What happens next. The same acts in the same order give the same run; there is no other clock."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the run began: the monotonic clock of everyone."""
        self.acts = 0
        """How much happened."""
        self._heap: list[tuple[float, int, Act]] = []
        self._number = 0

    def at(self, when: float, act: Act) -> None:
        """Do it then; what is due at one moment is done in the order in which it was asked for."""
        self._number += 1
        heappush(self._heap, (when, self._number, act))

    def run(self, until: float) -> None:
        """Let everything happen that is due up to `until`."""
        heap = self._heap
        acts = 0
        while heap and heap[0][0] <= until:
            self.now, _, act = heappop(heap)
            act()
            acts += 1
        self.acts += acts
        self.now = max(self.now, until)


class Process:
    """A program as the system sees it: it reads, it has timers, it can be stopped and go on, and it can die.

    While it is stopped, input waits in its sockets. When it goes on it reads all of it before any timer fires, as an
    event loop does.
    """

    def __init__(self, loop: Loop, name: str) -> None:
        self.loop = loop
        self.name = name
        self.up = False
        self.vanished = False
        """Died together with its host: no peer learns that its connections ended."""
        self.paused = 0
        """How many causes hold it."""
        self.deaf_to_pings = 0
        """How many of these hold even the threads that answer keepalive."""
        self.life = 0
        """Changes with each death: what belongs to an earlier life is void."""
        self.died_at: float | None = None
        self.paused_at: float | None = None
        self.connections: dict[Connection, None] = {}
        """Those whose end here is open, oldest first."""
        self._unread: list[Act] = []
        self._overdue: list[Act] = []

    def later(self, delay: float, act: Act) -> None:
        """A timer of this life."""
        life = self.life

        def fire() -> None:
            if self.life == life:
                if self.paused:
                    self._overdue.append(act)
                else:
                    act()

        self.loop.at(self.loop.now + delay, fire)

    def receive(self, act: Act) -> None:
        """Something arrived in a socket of this life."""
        if self.paused:
            self._unread.append(act)
        elif self.up:
            act()

    def pause(self, *, pings: bool = False) -> None:
        """SIGSTOP; with `pings` it is only the interpreter that hangs, and keepalive is still answered."""
        self.paused += 1
        if self.paused == 1:
            self.paused_at = self.loop.now
        if not pings:
            self.deaf_to_pings += 1
            if self.deaf_to_pings == 1:
                for connection in self.connections:
                    connection.disturbed()

    def resume(self, *, pings: bool = False) -> None:
        """SIGCONT. Does nothing where another life began meanwhile."""
        if not self.paused:
            return
        self.paused -= 1
        if not pings:
            self.deaf_to_pings -= 1
            for connection in list(self.connections):
                connection.recovered()
        if self.paused:
            return
        self.paused_at = None
        for waiting in (self._unread, self._overdue):
            while waiting and not self.paused:
                waiting.pop(0)()

    def die(self, *, vanish: bool = False) -> None:
        """kill -9; the kernel ends its connections, unless the whole host is gone."""
        if not self.up:
            return
        self.up = False
        self.vanished = vanish
        self.life += 1
        self.died_at = self.loop.now
        self.paused, self.deaf_to_pings, self.paused_at = 0, 0, None
        self._unread.clear()
        self._overdue.clear()
        connections, self.connections = self.connections, {}
        for connection in connections:
            if vanish:
                connection.disturbed()
            else:
                connection.abandoned_by(self)
