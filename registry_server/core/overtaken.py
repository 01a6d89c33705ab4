"""Decides which waiting alert copies a newer fact has made obsolete. Pure; `verdicts` applies the rules with that fact.

| a waiting copy of                    | is withdrawn once                                                            |
|--------------------------------------|------------------------------------------------------------------------------|
| heartbeat_miss, service_suspect      | the service is alive again, or left on purpose, or the same recipient is     |
|                                      | notified of its death                                                        |
| service_stalled                      | the service is alive again                                                   |
| service_down, service_deregistered   | the service is alive again, and so is every service that the alert lists     |
| heartbeat_restored                   | the recipient is notified of a later return of the service                   |
| parent_down                          | the parent is alive again                                                    |

The event log keeps every event. A copy for operators is never withdrawn: their sinks have received it, or will receive
it next. If a service returns, each recipient that did not acknowledge its death is notified of the return, with the
times of the death and of the return. A copy about the death may keep waiting after the return, because the alert lists
other services that are still down. If such a copy escalates, its next recipient is notified of the return right after
that.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from grid_model import event_details
from grid_model.event import OPERATORS, Event
from grid_model.event_types import DEATHS, HEARTBEAT_RESTORED, OVER_ONCE_ALIVE, SUSPICIONS
from grid_model.moments import rfc3339
from grid_model.observation import Delivery

RESTORED = HEARTBEAT_RESTORED.name

_ANSWERED = DEATHS | {RESTORED}
"""The types of alerts whose recipients must be notified of a return."""


@dataclass(slots=True)
class MissedDeaths:
    """The past deaths of one service that a recipient did not acknowledge."""

    count: int = 0
    first_down_at: float | None = None
    """When the first missed death began, in seconds since the epoch; `last_down_at` is when the last one began."""
    last_down_at: float = 0.0

    def add(self, event: Event) -> None:
        """Count the deaths that a withdrawn copy reported. It may be about a death, about the removal that followed a
        death, or a summary of several deaths."""
        if event.type in DEATHS:
            self.count += event.type == "service_down" or not self.count
            first = event.occurred_at
            self.last_down_at = max(self.last_down_at, first)
        elif missed := event_details.count_in(event.details, "missed_deaths"):
            self.count += missed
            first_down_at = event_details.moment_in(event.details, "first_down_at")
            first = event.occurred_at if first_down_at is None else first_down_at
        else:
            return
        self.first_down_at = first if self.first_down_at is None else min(self.first_down_at, first)


def missed_deaths(over: Iterable[Delivery], service_id: str) -> dict[str, MissedDeaths]:
    """Return, for each recipient, the deaths of a service that these withdrawn copies reported."""
    missed: dict[str, MissedDeaths] = {}
    for copy in over:
        if copy.event.service_id == service_id:
            missed.setdefault(copy.event.recipient, MissedDeaths()).add(copy.event)
    return {recipient: each for recipient, each in missed.items() if each.count}


def over_once_alive(copies: Iterable[Delivery], service_id: str, is_alive: Callable[[str], bool]) -> list[Delivery]:
    """Return the copies that are obsolete now that a service is alive. `is_alive` returns whether the service with an
    id is alive."""
    return [copy for copy in copies if _is_over(copy.event, service_id, is_alive)]


def over_once_down(copies: Iterable[Delivery], death: Event) -> list[Delivery]:
    """Return the copies about a suspicion of a service that are obsolete, because their recipient is notified of the
    death of that service. `death` is the alert about the death."""
    return [
        copy
        for copy in copies
        if copy.event.type in SUSPICIONS
        and (copy.event.service_id, copy.event.recipient) == (death.service_id, death.recipient)
    ]


def over_once_left(copies: Iterable[Delivery], service_id: str) -> list[Delivery]:
    """Return the copies about a suspicion of a service, which are obsolete because the service left on purpose. Copies
    for operators are not included."""
    suspicions = [copy for copy in copies if copy.event.type in SUSPICIONS and copy.event.service_id == service_id]
    return [copy for copy in suspicions if copy.event.recipient != OPERATORS]


def earlier_returns(copies: Iterable[Delivery], service_id: str) -> list[Delivery]:
    """Return the copies that report an earlier return of a service, except those for operators."""
    found = [copy for copy in copies if (copy.event.type, copy.event.service_id) == (RESTORED, service_id)]
    return [copy for copy in found if copy.event.recipient != OPERATORS]


def expects_return(copies: Iterable[Delivery], service_id: str) -> dict[str, None]:
    """Return the recipients that must be notified if the service returns. For each of them waits a copy about the death
    of the service, or a copy about an earlier return of it, which the new alert replaces. Operators are not included,
    because they receive all alerts."""
    told = [copy.event for copy in copies if copy.event.service_id == service_id]
    return {each.recipient: None for each in told if each.type in _ANSWERED and each.recipient != OPERATORS}


def reports_death(copies: Iterable[Delivery], service_id: str) -> bool:
    """Return whether any of these copies is about the death of a service and not addressed to the operators. Such a
    copy may still escalate."""
    told = [copy.event for copy in copies if copy.event.service_id == service_id]
    return any(each.type in DEATHS and each.recipient != OPERATORS for each in told)


def is_overtaken(event: Event, is_alive: Callable[[str], bool]) -> bool:
    """Return whether an alert is already obsolete before it is sent, because a waiting copy of it would be withdrawn
    now."""
    return is_alive(event.service_id) and _is_over(event, event.service_id, is_alive)


def with_both_times(restored: Event, down_at: float) -> Event:
    """Return the alert of a return, with the times of the death (`down_at`, in seconds since the epoch) and of the
    return added to its details."""
    times = {"down_at": rfc3339(down_at), "restored_at": rfc3339(restored.occurred_at)}
    return replace(restored, details={**restored.details, **times})


def summary(restored: Event, recipient: str, missed: MissedDeaths) -> Event:
    """Return the alert of a return for one recipient, with a summary of the deaths in `missed`: the recipient missed
    them, because the alerts about them were withdrawn. `restored` is the alert of the return, with the times of the
    death and of the return."""
    if not missed.count or missed.first_down_at is None:
        return replace(restored, recipient=recipient)
    first = rfc3339(missed.first_down_at)
    details = {**restored.details, "missed_deaths": missed.count, "first_down_at": first}
    message = f"{restored.service_name} is back: it was down from {details['down_at']} to {details['restored_at']}"
    if missed.count > 1:
        message += f"; in total, it went down {missed.count} times since {first}"
    return replace(restored, recipient=recipient, message=message, details=details)


def registered_again(service_id: str, name: str, incarnation: int, at: float) -> Event:
    """Return the alert of the return of a service that was removed on purpose and has registered again, while alerts
    about an earlier death of it still wait. TRON sends no such alert, because it no longer knows of that death."""
    about = f"{service_id}\0{incarnation}\0registered again"
    return Event(
        type=RESTORED,
        alert_id=str(uuid.uuid5(uuid.NAMESPACE_OID, about)),
        occurred_at=at,
        service_id=service_id,
        service_name=name,
        action="restored",
        message=f"{name} is back",
        details={"incarnation": incarnation, "registered_again": True},
    )


def _is_over(event: Event, service_id: str, is_alive: Callable[[str], bool]) -> bool:
    if event.recipient == OPERATORS or event.type not in OVER_ONCE_ALIVE:
        return False
    listed = event_details.texts_in(event.details, "affected")
    if event.type in DEATHS and listed:
        if event_details.count_in(event.details, "affected_count") > len(listed):
            return False  # who else failed with it is not known here
        others = [each for each in listed if each != service_id]
        if not all(is_alive(each) for each in others):
            return False
    return event.service_id == service_id or is_alive(event.service_id)
