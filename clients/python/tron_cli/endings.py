"""How a program ended, and whether somebody had asked it to: decisions only, no clock."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

_LAPSES_AFTER: dict[int, float] = {
    # Whoever stops a service sends SIGTERM, and SIGKILL once its patience is over: 10 s in Docker, 30 in Kubernetes,
    # 90 in systemd.
    signal.SIGTERM: 90.0,
    # These may mean something else to the program (reload, interrupt one step): it has answered by then, or survived.
    signal.SIGINT: 1.0,
    signal.SIGQUIT: 1.0,
    signal.SIGHUP: 1.0,
}
"""Signals that ask a program to end, and the seconds after which an end has another cause."""
_BY_HAND = 10.0
"""The same for a key that a person pressed in the terminal: they see what happens."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended: `exit_code` as a shell has it, and the name of the signal that ended it, if one did."""

    exit_code: int
    signal_name: str | None

    @classmethod
    def of(cls, returncode: int) -> Ending:
        """Read a return code of `subprocess`, where the negative ones are signals."""
        return cls(returncode, None) if returncode >= 0 else cls(128 - returncode, name_of(-returncode))

    @property
    def severity(self) -> str:
        """CRITICAL unless it went well."""
        return "INFO" if self.exit_code == 0 else "CRITICAL"

    def describe(self) -> str:
        """Return it in words."""
        return f"ended by {self.signal_name}" if self.signal_name else f"exited with code {self.exit_code}"


def name_of(number: int) -> str:
    """Return the name of a signal. Real-time signals between the first and the last have none of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


@dataclass(slots=True)
class EndRequests:
    """The signals by which somebody asked the program to end. Times are seconds on one monotonic clock.

    A signal that the program survives is no request any more: an end long after it is a failure like any other.
    """

    _until: dict[int, float] = field(default_factory=dict)  # until when each of them counts

    def heard(self, number: int, now: float, *, from_terminal: bool = False) -> None:
        """Take note that the program was sent a signal."""
        lapses = _LAPSES_AFTER.get(number)
        if lapses is not None:
            self._until[number] = now + max(lapses, _BY_HAND if from_terminal else 0.0)

    def answered(self, ending: Ending, now: float) -> str | None:
        """Return the name of the signal that asked for this end; None if nobody did.

        The program died of the signal, exited with the code that says so, or exited while the request stood. After
        SIGTERM any end counts until the request expires: a service that was stopped should stay stopped.
        """
        for number, until in self._until.items():
            any_way = number == signal.SIGTERM or ending.signal_name is None
            if ending.exit_code == 128 + number or (now <= until and any_way):
                return name_of(number)
        return None

    def forget(self) -> None:
        """Nobody asked for the end that came: what was sent before means nothing for what is started next."""
        self._until.clear()

    def pending(self, now: float) -> bool:
        """Whether a request is in force: nothing should be started now."""
        return any(now <= until for until in self._until.values())
