"""Who must hear of what, and whether somebody did: the part of P3 that is about people, and ALERT.

Every copy that is addressed to a service reaches it soon once it is well. Every alert that demands an act (CRITICAL)
is heard by somebody in the end: by whom it is addressed to, by an ancestor, or by the operators. A death counts as
heard of, too, where another alert that was heard lists it. One that was told to nobody, because notices are held, must
be told when they are held no more, unless it is over by then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry_server.service import Event, Severity

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
        """Whether somebody must hear it, whoever that is."""
        return self.event.severity is Severity.CRITICAL and self.event.type not in STAYS


class Hearing:
    """All alerts of a run."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.stories: dict[str, Story] = {}
        self.down_said: dict[str, str] = {}
        """By service_id: the alert_id of the death that stands in the log and was not followed by "restored"."""
        self._open: dict[str, Story] = {}
        self._copies: dict[tuple[str, str], tuple[float, int]] = {}
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
            elif event.type == "heartbeat_restored":
                self._say_restored(event)
        elif _meaning(story.event) != _meaning(event):
            what = f"{_meaning(story.event)} and {_meaning(event)}"
            self._observer.breach("ALERT", f"one alert_id, {event.alert_id}, has two meanings: {what}")
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
        kept_from = observer.registry.catalogue.events.first
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
        """An alert that demands an act and that nobody has heard yet; empty where there is none."""
        for alert_id, story in list(self._open.items()):
            event = story.event
            quiet = not story.copies and (event.type != "service_down" or self._is_maintained(story))
            forgotten = event.sequence < self._observer.registry.catalogue.events.first
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

    def _say_restored(self, event: Event) -> None:
        if self.down_said.pop(event.service_id, None) is None:
            self._observer.breach("ALERT", f"{event.service_id} was called restored, and was not down")
        self._forgive(event.service_id)

    def _forgive(self, service_id: str) -> None:
        """What was told to nobody until now, and is over, need not be told."""
        for story in self._open.values():
            if story.event.service_id == service_id and not story.copies:
                story.over = True


def _meaning(event: Event) -> tuple[str, str, str]:
    return event.type, event.service_id, event.cause.name
