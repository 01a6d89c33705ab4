"""The operations that change data: each is performed over gRPC, and its result is visible in the replica before the
client is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grid.registry.v1 import service_pb2
from grid_model.access import Role
from tron_client import (
    Acknowledged,
    AsyncRegistryClient,
    Event,
    PermissionDenied,
    RegistryUnavailable,
    Service,
    ServiceNotFound,
)

from gateway_http.replica.entry import Reported
from gateway_http.replica.replica import Replica
from gateway_http.upstream.beat_relay import Acknowledged as BeatAcknowledged
from gateway_http.upstream.beat_relay import BeatRelay
from gateway_http.upstream.registry_writes import RegistryWrites
from grid_hosting.open_calls import current_principal

SEEN_WITHIN = 1.0
"""Seconds to wait until the subscription delivers an event that we published."""


class Actions:
    """The changes that clients of the gateway can make. Each method returns when the change is done and visible in the
    replica. All methods raise the errors of the SDK."""

    def __init__(self, replica: Replica, client: AsyncRegistryClient, writes: RegistryWrites, relay: BeatRelay) -> None:
        self._replica = replica
        self._client = client
        self._writes = writes
        self._relay = relay
        self.counted = 0
        """Registrations and heartbeats that succeeded since the gateway started."""

    @property
    def beats_waiting(self) -> int:
        """The number of heartbeats that wait for their acknowledgement."""
        return self._relay.waiting

    async def register(self, declared: service_pb2.Service) -> Service:
        """Register a service, and return its record. If the id is already registered, a new incarnation begins."""
        service, revision = await self._writes.register(declared)
        self._replica.registered(service, revision)
        self.counted += 1
        return service

    async def deregister(self, service_id: str, reason: str = "") -> None:
        """Deregister a service. Raises ServiceNotFound if no service has this id."""
        revision = await self._writes.deregister(service_id, reason)
        self._replica.deregistered(service_id, revision)

    async def promote(self, name: str, from_role: str, to_role: str) -> int:
        """Change the role of all services with this name and the role `from_role`; return their number. Raises
        ServiceNotFound if there are none."""
        count, revision = await self._writes.promote(name, from_role, to_role)
        self._replica.promoted(name, from_role, to_role, revision)
        return count

    async def beat(self, service_id: str, reported: Reported) -> BeatAcknowledged:
        """Relay a heartbeat of a service to the registry, and return its acknowledgement. Raises ServiceNotFound,
        RegistryUnavailable and PermissionDenied."""
        known = self._replica.record(service_id)
        if known is None:
            if not self._relay.connected:
                raise RegistryUnavailable("the registry is unreachable")
            # Another client may have registered it just now: ask the registry.
            try:
                known, revision = await self._writes.get_service(service_id)
            except ServiceNotFound:
                _check_may_know(service_id)
                raise
            self._replica.known(known, revision)
        acknowledged = await self._relay.beat(service_id, known.incarnation, reported)
        if self._replica.record(service_id) is None:
            raise ServiceNotFound(f"no service has the id {service_id!r}")
        self._replica.beaten(known, reported, acknowledged.heard_at, acknowledged.revision)
        self.counted += 1
        return acknowledged

    async def publish(self, event_type: str, details: Mapping[str, Any], **fields: Any) -> Event:
        """Append an event to the event log, and return it."""
        event = await self._client.publish_event(event_type, details=details, **fields)
        await self._replica.news.until(lambda: self._replica.tail.last >= event.sequence, SEEN_WITHIN)
        return event

    async def acknowledge_all(self, service_id: str = "") -> Acknowledged:
        """Acknowledge all waiting alerts and all losses in the name of the operators; with `service_id`, only those
        about that service. Return the number of alert copies and the number of losses that were acknowledged."""
        return await self._client.acknowledge_all(service_id=service_id)

    async def acknowledge(self, alert_id: str, recipient: str = "") -> int:
        """Acknowledge an alert for one recipient, or for all recipients if `recipient` is empty. Return how many copies
        of it were waiting. Raises AlertNotFound."""
        return await self._client.acknowledge(alert_id, recipient)


def _check_may_know(service_id: str) -> None:
    """Raise PermissionDenied, with the text of the registry, unless the caller may know that no service has this id.
    The answer then does not reveal whether the id of another owner exists."""
    caller = current_principal()
    if not (caller.may(Role.AGENT, service_id) or caller.may(Role.OBSERVER, service_id)):
        raise PermissionDenied(f"{caller.name} has no agent grant for the id {service_id!r}")
