"""The tree of parents together with the liveness of each service: finds the next ancestor that can be notified, and
live children. Pure."""

from __future__ import annotations

from grid_model.event import OPERATORS
from grid_model.liveness import Liveness
from grid_model.observation import Facts
from grid_model.policy import OrphanPolicy

from tron import messages
from tron.detector import Detector
from tron.facts import Lease
from tron.lineage import Lineage
from tron.living import Living, unit_of
from tron.policy import Policies


class Hierarchy:
    """Finds recipients, parents and children from the lineage and the detector. It keeps no data of its own."""

    def __init__(self, policies: Policies, detector: Detector, lineage: Lineage) -> None:
        self.policies = policies
        self.lineage = lineage
        self._detector = detector

    def recipient_of(self, facts: Facts) -> str:
        """Return the recipient of alerts about a service: its parent as declared, or the ancestor that replaces a
        parent that is down; empty if the service declares no parent."""
        adopts = self.policies.of(facts.service_id).orphan_policy is OrphanPolicy.ADOPT
        if facts.parent and adopts and self.unreachable(facts.parent):
            return self.next_live(facts.parent)
        return facts.parent

    def next_live(self, id_or_name: str) -> str:
        """Return the service_id of the next ancestor that is not down; the operators if there is none."""
        for ancestor in self.lineage.ancestors(id_or_name):
            service_id = self.lineage.resolve(ancestor)
            if service_id is not None and not self.is_down(service_id):
                return service_id
        return OPERATORS

    @property
    def living(self) -> Living:
        """The counts of ALIVE services and of the units that they belong to."""
        return self._detector.living

    def unit_of(self, service_id: str) -> str:
        """Return the unit with which a service fails: its process, or the service itself if it shares none."""
        lease = self._detector.find(service_id)
        return unit_of(lease.facts) if lease is not None else service_id

    def parent_of(self, service_id: str) -> str | None:
        """Return the service_id of a service's parent; None if it has none, or its parent is not registered."""
        lease = self._detector.find(service_id)
        return None if lease is None else self.lineage.resolve(lease.facts.parent)

    def living_children(self, service_id: str) -> list[Lease]:
        """Return the children that are ALIVE."""
        leases = map(self._detector.find, self.lineage.children(service_id))
        return [lease for lease in leases if lease is not None and lease.liveness is Liveness.ALIVE]

    def unreachable(self, id_or_name: str) -> str:
        """Return why a recipient cannot acknowledge alerts (it is down or not registered); empty if it can."""
        service_id = self.lineage.resolve(id_or_name)
        if service_id is None:
            return messages.not_registered(id_or_name)
        return messages.recipient_down(service_id) if self.is_down(service_id) else ""

    def is_connected(self, id_or_name: str) -> bool:
        """Return whether a recipient has an open stream, on which waiting alerts are sent."""
        service_id = self.lineage.resolve(id_or_name)
        lease = None if service_id is None else self._detector.find(service_id)
        return lease is not None and lease.facts.connected

    def is_down(self, service_id: str) -> bool:
        """Return whether a service is DOWN, or is not registered."""
        lease = self._detector.find(service_id)
        return lease is None or lease.liveness is Liveness.DOWN
