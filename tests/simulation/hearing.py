"""Which recipients must be notified of what, and whether they were: the part of P3 about recipients, and ALERT.

Every copy that is addressed to a service reaches it soon once it is well. Every alert that demands an act (CRITICAL)
finally reaches its recipient, an ancestor, or the operators. A death also counts as reported if another alert that was
received lists it. One that was not sent, because alerts are held, must be sent when they are no longer held, unless it
is over by then. A copy of a CRITICAL alert is withdrawn only once what it reports is over, for the service and for all
that it lists, and never without a message to its recipient about the return.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from grid_model.event import Event, Severity
from grid_model.liveness import Liveness

if TYPE_CHECKING:
    from tests.simulation.observer import Observer

HEARD_WITHIN = 3.0
"""Seconds from when a recipient is well until it has heard what waits for it."""

STORY = 60.0
"""Seconds within which a failure and the alert that lists it belong together."""

STAYS = frozenset({"parent_down", "note"})
"""What concerns only its recipient."""


@dataclass(slots=True)
class Story:
    """One alert: all its copies, and who heard it."""

    event: Event
    since: float
    copies: dict[str, float] = field(default_factory=dict)
    """By recipient: when it was put."""
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By recipient: who is listed in its copy; what was held first and told later may list more."""
    heard_by: set[str] = field(default_factory=set)
    over: bool = False
    """Nobody needs to hear of it any more."""

    @property
    def demands(self) -> bool:
        """Whether some recipient must receive it."""
        return self.event.severity is Severity.CRITICAL and self.event.type not in STAYS


class Hearing:
    """All alerts of a run."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.stories: dict[str, Story] = {}
        self.down_said: dict[str, str] = {}
        """By service_id: the alert_id of the death that is in the log and was not followed by "restored"."""
        self._open: dict[str, Story] = {}
        self._copies: dict[tuple[str, str], tuple[float, int]] = {}
        self._death_of: dict[str, str] = {}
        """By alert_id of a death or a removal: the alert_id of the death."""
        self._restored: dict[str, float] = {}
        """Deaths after which "restored" was said, and when."""
        self._returns: dict[tuple[str, str], float] = {}
        """By service and recipient: when the last word about a return was put."""
        self._listed: dict[str, float] = {}

    @property
    def deaths(self) -> int:
        """How many deaths were said."""
        return sum(1 for story in self.stories.values() if story.event.type == "service_down")

    def stored(self, event: Event, now: float) -> None:
        """An event is on the disk now, or one more copy of one."""
        story = self.stories.get(event.alert_id)
        if story is None:
            story = self.stories[event.alert_id] = Story(event, now)
            if story.demands:
                self._open[event.alert_id] = story
            if event.type == "service_down":
                self._say_down(event)
                self._death_of[event.alert_id] = event.alert_id
            elif event.type == "service_deregistered":
                self._death_of[event.alert_id] = self.down_said.get(event.service_id, "")
            elif event.type == "heartbeat_restored" and event.details.get("registered_again"):
                for death in self._death_of.values():  # it left on purpose since, and starts clean
                    if death and self.stories[death].event.service_id == event.service_id:
                        self._restored.setdefault(death, now)
            elif event.type == "heartbeat_restored":
                self._say_restored(event, now)
        elif _meaning(story.event) != _meaning(event):
            what = f"{_meaning(story.event)} and {_meaning(event)}"
            self._observer.breach("ALERT", f"one alert_id, {event.alert_id}, has two meanings: {what}")
        if event.recipient and event.type == "heartbeat_restored":
            self._returns[event.service_id, event.recipient] = now
        if event.recipient and event.recipient not in story.copies:
            story.copies[event.recipient] = now
            story.lists[event.recipient] = tuple(event.details.get("affected", ()))
            if event.recipient in self._observer.processes:
                self._copies[event.alert_id, event.recipient] = now, event.sequence

    def removed(self, service_id: str, *, on_purpose: bool) -> None:
        """The record of a service is gone; who left on purpose starts clean."""
        if on_purpose:
            if not self._observer.may_have_left(service_id):
                self._observer.breach("P3", f"{service_id} was removed as if it had left, and it did not")
            self.down_said.pop(service_id, None)
            self._forgive(service_id)

    def withdrawn(self, alert_id: str, recipient: str, now: float, *, absent: bool) -> None:
        """A copy waits no more, as newer facts have overtaken it, or as nobody is there to take it: is that so?"""
        story = self.stories[alert_id]
        self._copies.pop((alert_id, recipient), None)
        if not story.demands:
            return
        event = story.event
        what = f"{event.type} of {event.service_id} ({alert_id}) to {recipient} was withdrawn"
        if absent:
            if recipient in self._observer.store.services:
                self._observer.breach("P3", f"{what}, and its recipient is registered")
            elif not self._observer.store.deliveries[alert_id, recipient].escalated:
                self._observer.breach("P3", f"{what}, and it did not escalate")
            return
        if event.type == "service_stalled":
            stored = self._observer.store.services.get(event.service_id)
            if stored is None or stored.judgement.liveness is Liveness.DOWN:
                self._observer.breach("P3", f"{what}, and the service is down or gone")
        elif self._death_of.get(alert_id) not in self._restored:
            self._observer.breach("P3", f"{what}, and the service did not come back")
        elif self._returns.get((event.service_id, recipient), 0.0) < story.copies[recipient]:
            self._observer.breach("P3", f"{what}, and nothing was said of its return")
        for service_id in story.lists.get(recipient, ()):
            said = self.stories.get(self.down_said.get(service_id, ""))
            if said is not None and said.since < now:
                self._observer.breach("P3", f"{what}, and {service_id}, which it lists, is down")
        story.over = True

    def is_stale(self, event: Event, now: float) -> bool:
        """Whether an alert tells of a death that was over long before this moment, and lists nobody else."""
        if event.type not in ("service_down", "service_deregistered") or event.details.get("affected"):
            return False
        over_since = self._restored.get(self._death_of.get(event.alert_id, ""), now)
        return over_since + HEARD_WITHIN + self._observer.slack < now  # it may have been on its way to the disk

    def is_stored(self, event: Event) -> bool:
        """Whether the disk has it, with this meaning."""
        story = self.stories.get(event.alert_id)
        return story is not None and _meaning(story.event) == _meaning(event)

    def heard(self, alert_id: str, recipient: str) -> None:
        """A program, or the operators' sinks, took an alert."""
        story = self.stories.get(alert_id)
        if story is None:
            return
        story.heard_by.add(recipient)
        self._open.pop(alert_id, None)
        self._copies.pop((alert_id, recipient), None)
        for service_id in story.lists.get(recipient, ()):
            self._listed[service_id] = max(self._listed.get(service_id, 0.0), story.since)

    def look(self, now: float) -> None:
        """Whose time to have heard is over?"""
        observer = self._observer
        assert observer.chain_well_since is not None
        kept_from = observer.registry.core.first_event
        for (alert_id, recipient), (put_at, sequence) in list(self._copies.items()):
            if sequence < kept_from:
                del self._copies[alert_id, recipient]  # older than events are kept for
                continue
            for agent in observer.processes[recipient]:
                well_since = observer.well_since.get(agent)
                if well_since is None or agent.deaf:
                    continue
                since = max(put_at, well_since, agent.hears_since, observer.chain_well_since)
                if now > since + HEARD_WITHIN + observer.slack:
                    event = self.stories[alert_id].event
                    what = f"{event.type} of {event.service_id} ({alert_id})"
                    observer.breach("P3", f"{agent.name} is well since {well_since:.3f}s and was not told {what}")
                    del self._copies[alert_id, recipient]
                    break

    def unheard(self) -> str:
        """An alert that demands an act and that nobody has heard yet; empty if there is none."""
        for alert_id, story in list(self._open.items()):
            event = story.event
            quiet = not story.copies and (event.type != "service_down" or self._is_maintained(story))
            forgotten = event.sequence < self._observer.registry.core.first_event
            if story.over or quiet or forgotten or self._is_listed(story):
                continue
            return f"{event.type} of {event.service_id} ({alert_id}) was heard by nobody"
        return ""

    # --- inside -----------------------------------------------------------------------------------------------------

    def _is_listed(self, story: Story) -> bool:
        """Whether an alert that was heard lists it."""
        listed_at = self._listed.get(story.event.service_id)
        return listed_at is not None and abs(listed_at - story.since) < STORY

    def _is_maintained(self, story: Story) -> bool:
        """Whether an operator holds notices about it."""
        return story.event.service_id in self._observer.store.maintenance

    def _say_down(self, event: Event) -> None:
        before = self.down_said.get(event.service_id)
        if before is not None:
            what = f"the death of {event.service_id} was said twice: {before} and {event.alert_id}"
            self._observer.breach("ALERT", what)
        self.down_said[event.service_id] = event.alert_id

    def _say_restored(self, event: Event, now: float) -> None:
        death = self.down_said.pop(event.service_id, None)
        if death is not None:
            self._restored[death] = now
        else:
            self._observer.breach("ALERT", f"{event.service_id} was called restored, and was not down")
        self._forgive(event.service_id)

    def _forgive(self, service_id: str) -> None:
        """What was not sent until now, and is over, need not be sent."""
        for story in self._open.values():
            if story.event.service_id == service_id and not story.copies:
                story.over = True


def _meaning(event: Event) -> tuple[str, str, str]:
    return event.type, event.service_id, event.cause.name
