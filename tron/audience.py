"""Finds the audience of a transition, that is, everyone whom the transition concerns: the recipient of its alert and,
if a service died, the orphans and the services below the dead service that failed too. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grid_model import event_details
from grid_model.event import OPERATORS
from grid_model.event_types import DEATHS
from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts
from grid_model.policy import OrphanPolicy

from tron.detector import Detector
from tron.escalation import Escalations
from tron.facts import Kind, Transition
from tron.grouping import Groups
from tron.hierarchy import Hierarchy

MAX_GROUPED = 400_000
"""The most bytes of service ids that one verdict lists, because a call has at most 1 MiB. A service that does not fit
raises an alert of its own."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A live child of a service that is down, and the action that the child's policy prescribes."""

    facts: Facts
    policy: OrphanPolicy


@dataclass(frozen=True, slots=True)
class Audience:
    """All services that one transition concerns."""

    recipient: str
    """The recipient: a parent as declared, an ancestor's service_id, or the operators; empty if there is none."""
    others: tuple[str, ...] = ()
    """If the service is back: the other recipients that were notified of its death."""
    stands_in: str = ""
    """The next ancestor that is not down, which replaces the parent for the orphans."""
    orphans: tuple[Orphan, ...] = ()
    subtree: tuple[str, ...] = ()
    """The services below the failed service that failed with it, nearest first."""
    plain_at: int | None = None
    """The version of the tree in which `subtree` is below the service; None if another alert added services. See
    `Groups.put`."""
    grouped: bool = False
    """Whether the alert of an ancestor lists all of these services, so that its recipient is already notified."""


class Audiences:
    """Finds the audience of each transition. The services below a dead service are looked up only if the alert about
    its death is sent. So a death whose alert is held takes the same time however many services fail."""

    def __init__(self, hierarchy: Hierarchy, detector: Detector, groups: Groups, escalations: Escalations) -> None:
        self._hierarchy = hierarchy
        self._detector = detector
        self._groups = groups
        self._escalations = escalations

    def of(self, transition: Transition, *, held: bool) -> Audience:
        """Return the audience of a transition. `held`: whether the alert about the transition is held; then only the
        recipient is determined."""
        facts, kind = transition.facts, transition.kind
        recipient = self._recipient(kind, facts)
        if held:
            return Audience(recipient)
        if kind is Kind.RESTORE:
            return Audience(recipient, others=tuple(each for each in facts.notified if each != recipient))
        if kind is Kind.DEREGISTER:
            return Audience(recipient, grouped=bool(self._groups.alert_listing(facts)))
        if kind is not Kind.DOWN:
            return Audience(recipient)
        failed, plain = self._failed_with(transition)
        subtree = tuple(within(failed, MAX_GROUPED))
        lineage = self._hierarchy.lineage
        ancestors = (lineage.resolve(id_or_name) or id_or_name for id_or_name in lineage.ancestors(facts.service_id))
        return Audience(
            recipient,
            stands_in=self._hierarchy.next_live(facts.service_id),
            orphans=self._orphans(facts.service_id),
            subtree=subtree,
            plain_at=lineage.version if plain else None,
            grouped=self._groups.lists_all(self._groups.alert_listing(facts), ancestors, subtree),
        )

    def of_held_death(self, facts: Facts) -> Audience:
        """Return the audience of a death whose alert was held and is sent now. It contains no services below the dead
        service: another alert has listed them, or their own alerts are held."""
        return Audience(
            self._hierarchy.recipient_of(facts) or OPERATORS,
            stands_in=self._hierarchy.next_live(facts.service_id),
            orphans=self._orphans(facts.service_id),
        )

    def _recipient(self, kind: Kind, facts: Facts) -> str:
        recipient = self._hierarchy.recipient_of(facts)
        if kind is Kind.RESTORE and facts.notified and recipient not in facts.notified:
            return facts.notified[0]
        return OPERATORS if not recipient and kind.meaning.needs_action else recipient

    def _orphans(self, service_id: str) -> tuple[Orphan, ...]:
        policies = self._hierarchy.policies
        return tuple(
            [
                Orphan(lease.facts, policies.of(lease.facts.service_id).orphan_policy)
                for lease in self._hierarchy.living_children(service_id)
            ]
        )

    def _failed_with(self, transition: Transition) -> tuple[list[str], bool]:
        """Return the services below a service that failed together with it: services without a verdict, services that
        failed later than a window before the service was last heard, and services whose failure was reported to it and
        not acknowledged; and whether no alert about one of these listed others."""
        lineage = self._hierarchy.lineage
        descendants = lineage.descendants(transition.service_id)
        if not descendants:
            return [], True
        since = transition.heard_at - self._hierarchy.policies.default.guard_window
        names = (transition.service_id, transition.facts.name)
        waiting = [delivery.event for id_or_name in names for delivery in self._escalations.waiting_for(id_or_name)]
        unheard = {alert.service_id for alert in waiting}
        # A service that is listed in an alert which this one ends must be listed here, even if it is gone. Only TRON
        # issues deaths: the list of any other alert could name a service to hide its failure.
        listed = {
            alert.service_id: event_details.texts_in(alert.details, "affected")
            for alert in waiting
            if alert.type in DEATHS
        }
        failed: list[str] = []
        for service_id in descendants:
            lease = self._detector.find(service_id)
            if lease is None or lease.liveness is Liveness.ALIVE or lease.cause is LivenessCause.STALLED:
                continue
            if lease.liveness is Liveness.SUSPECT or lease.judged_at >= since or service_id in unheard:
                failed.append(service_id)
        # If all below it failed, a list of services below one of them adds nothing. Else thousands of lists would be
        # read for each of thousands who die in one chain.
        whole = len(failed) == len(descendants)
        found: dict[str, None] = {}
        plain = True
        for service_id in failed:
            found[service_id] = None
            if whole and self._groups.is_plain(service_id, lineage.version):
                continue
            subtree = self._groups.subtree_of(service_id, listed.get(service_id, ()))
            if subtree:
                plain = False
                found |= dict.fromkeys(subtree)
        return list(found), plain


def within(service_ids: Sequence[str], room: int) -> list[str]:
    """Return the longest beginning of a list of service ids that fits in `room` bytes."""
    listed: list[str] = []
    for service_id in service_ids:
        room -= len(service_id.encode()) + 6
        if room < 0:
            break
        listed.append(service_id)
    return listed
