"""Describes how a program ended, and decides whether a signal had asked it to stop. Decisions only, no clock."""

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
"""Signals that ask a program to stop, and the seconds after which its end is no longer attributed to the signal."""
_BY_HAND = 10.0
"""The same for a signal from a key in the terminal, such as Ctrl-C: longer, because a person sees what happens."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended: its exit code as a shell reports it, and the name of the signal that killed it, or None."""

    exit_code: int
    signal_name: str | None

    @classmethod
    def of(cls, returncode: int) -> Ending:
        """Return the ending for a return code of `subprocess`, in which a negative number is a signal."""
        return cls(returncode, None) if returncode >= 0 else cls(128 - returncode, name_of(-returncode))

    @property
    def severity(self) -> str:
        """INFO if the exit code is 0, otherwise CRITICAL."""
        return "INFO" if self.exit_code == 0 else "CRITICAL"

    def describe(self) -> str:
        """Return the ending in words, such as `exited with code 1`."""
        return f"ended by {self.signal_name}" if self.signal_name else f"exited with code {self.exit_code}"


def name_of(number: int) -> str:
    """Return the name of a signal, such as SIGTERM; for a number without a name, SIG and the number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


@dataclass(slots=True)
class EndRequests:
    """The signals that asked the program to stop. Times are in seconds on one monotonic clock.

    A signal is a request that expires: if the program continues to run and ends long after the signal, its end is a
    failure like any other.
    """

    _until: dict[int, float] = field(default_factory=dict)  # until when each of them counts

    def heard(self, number: int, now: float, *, from_terminal: bool = False) -> None:
        """Record that the program received a signal. `from_terminal`: a key in the terminal sent it."""
        lapses = _LAPSES_AFTER.get(number)
        if lapses is not None:
            self._until[number] = now + max(lapses, _BY_HAND if from_terminal else 0.0)

    def answered(self, ending: Ending, now: float) -> str | None:
        """Return the name of the signal that asked for this ending; None if no signal did.

        A signal asked for the ending in each of these cases: the signal killed the program; the program exited with the
        exit code of the signal; the program exited before the request of the signal expired. After SIGTERM, any ending
        before the request expires counts, because a service that was stopped should stay stopped.
        """
        for number, until in self._until.items():
            any_way = number == signal.SIGTERM or ending.signal_name is None
            if ending.exit_code == 128 + number or (now <= until and any_way):
                return name_of(number)
        return None

    def forget(self) -> None:
        """Forget all signals, so that none of them counts for the next run of the program."""
        self._until.clear()

    def pending(self, now: float) -> bool:
        """Return whether a request to stop has not expired yet. Until it has expired, the program should not be
        started."""
        return any(now <= until for until in self._until.values())
