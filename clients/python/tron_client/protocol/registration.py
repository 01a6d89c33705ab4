"""The registration of an agent: the incarnation that it holds, and the instance_id with which it registers. This module
does no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tron_client.protocol.messages import Register
from tron_client.schedule import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

INVALID_REQUEST = "ERROR_REASON_INVALID_REQUEST"

_REFUSED_FOR_GOOD = ("", "ERROR_REASON_UNSPECIFIED", INVALID_REQUEST)
"""Reasons for which a first registration is not tried again: the message is wrong, or the registry names no reason."""


class Registration:
    """The state of an agent's registration: confirmed, in progress, or deferred."""

    def __init__(self, declared: Any, new_instance_id: Callable[[], str]) -> None:
        self.incarnation = 0
        """The incarnation that the agent holds; 0 before the first registration."""
        self.instance_id = new_instance_id()
        """The random string of the registration that is in progress, or that was confirmed last."""
        self._declared = declared
        self._new_instance_id = new_instance_id
        self._tried_before = False
        self._deferrals = Backoff(base=0.2, cap=10.0)

    def message(self, service_id: str, shared: str) -> Register:
        """Return the registration message to send. `shared` is the random string of this process, if its agents may
        share the stream; it is empty if the stream carries this agent alone."""
        return Register(self._declared, service_id, self.incarnation, self.instance_id, shared)

    @property
    def may_be_overtaken(self) -> bool:
        """Whether this registration asks for a new incarnation and was already sent on an earlier stream. The registry
        may then already have received it."""
        return not self.incarnation and self._tried_before

    def confirm(self, incarnation: int) -> None:
        """Record that the registry confirmed the registration, with this incarnation."""
        self.incarnation = incarnation
        self._deferrals.reset()

    def stream_ended(self, *, sent: bool) -> None:
        """Record that the stream ended. `sent` is True if the registration had been sent on it."""
        self._tried_before = self._tried_before or sent

    def is_refused_for_good(self, reason: str) -> bool:
        """Return whether a refusal with this reason is final, so that the agent does not try again."""
        return not self.incarnation and reason in _REFUSED_FOR_GOOD

    def defer(self, draw: float) -> float:
        """Record that the registry refused the registration temporarily; return the seconds until the next attempt.
        `draw` is a random number, 0 to 1."""
        return self._deferrals.next_delay(draw)

    def begin_anew(self) -> None:
        """Prepare a registration for a new incarnation, because the registry does not know the present one. A new
        instance_id ensures that the registry does not treat this registration as a retry of the earlier one."""
        self.incarnation = 0
        self.rename()

    def rename(self) -> None:
        """Create a new instance_id, which no registry knows."""
        self.instance_id, self._tried_before = self._new_instance_id(), False
