"""Describes how a program ended, and decides whether a signal requested the end. Decisions only, no clock."""

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
    """The end of a program: `exit_code` as in a shell, and the name of the signal that ended the program, if one
    did."""

    exit_code: int
    signal_name: str | None

    @classmethod
    def of(cls, returncode: int) -> Ending:
        """Return the ending for a return code of `subprocess`, in which a negative number is a signal."""
        return cls(returncode, None) if returncode >= 0 else cls(128 - returncode, name_of(-returncode))

    @property
    def severity(self) -> str:
        """The severity of the ending: CRITICAL, unless the exit code is 0."""
        return "INFO" if self.exit_code == 0 else "CRITICAL"

    def describe(self) -> str:
        """Return the ending in words."""
        return f"ended by {self.signal_name}" if self.signal_name else f"exited with code {self.exit_code}"


def name_of(number: int) -> str:
    """Return the name of a signal. Real-time signals between the first and the last are named by their offset."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


@dataclass(slots=True)
class EndRequests:
    """The signals that requested the end of the program. Times are seconds on one monotonic clock.

    If the program survives a signal, the request expires: an end long after the signal is a failure like any other.
    """

    _until: dict[int, float] = field(default_factory=dict)  # until when each of them counts

    def heard(self, number: int, now: float, *, from_terminal: bool = False) -> None:
        """Record that the program received a signal."""
        lapses = _LAPSES_AFTER.get(number)
        if lapses is not None:
            self._until[number] = now + max(lapses, _BY_HAND if from_terminal else 0.0)

    def answered(self, ending: Ending, now: float) -> str | None:
        """Return the name of the signal that requested this end; None if no signal did.

        A signal requested the end if the program died of the signal, exited with the signal's code, or exited before
        the request expired. After SIGTERM every end counts until the request expires, because a service that was
        stopped should stay stopped.
        """
        for number, until in self._until.items():
            any_way = number == signal.SIGTERM or ending.signal_name is None
            if ending.exit_code == 128 + number or (now <= until and any_way):
                return name_of(number)
        return None

    def forget(self) -> None:
        """Forget all signals: no signal requested the end, and none counts for the next run of the program."""
        self._until.clear()

    def pending(self, now: float) -> bool:
        """Return whether a request is in force, so that no program should be started now."""
        return any(now <= until for until in self._until.values())
