"""What changes something: through gRPC, and seen in the copy before it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tron_client import Acknowledged, AsyncRegistryClient, Event, RegistryUnavailable, Service, ServiceNotFound

from gateway_http.beats import Acknowledged as BeatAcknowledged
from gateway_http.beats import BeatRelay
from gateway_http.live_feed import LiveFeed
from gateway_http.mirror import Reported

SEEN_WITHIN = 1.0
"""Seconds that the watch may take to tell of what we did; after that the copy takes our word for it."""


class Actions:
    """Each returns when it is done and the copy shows it. Raises what the SDK raises."""

    def __init__(self, feed: LiveFeed, client: AsyncRegistryClient, relay: BeatRelay) -> None:
        self._feed = feed
        self._client = client
        self._relay = relay
        self.counted = 0
        """Registrations and heartbeats that succeeded since the gateway started."""

    async def register(self, service_id: str, **declared: Any) -> Service:
        """Register a service, anew where it is registered already; `declared` as in `AsyncRegistryClient.register`."""
        service = await self._client.register(service_id, **declared)

        def seen(known: Service | None) -> bool:
            return known is not None and known.incarnation >= service.incarnation

        if not await self._feed.until(service.service_id, seen, SEEN_WITHIN):
            self._feed.registered(service)
        self.counted += 1
        return service

    async def deregister(self, service_id: str, reason: str = "") -> None:
        """Remove a service. Raises ServiceNotFound."""
        known = self._feed.service(service_id)
        await self._client.deregister(service_id, reason)

        def gone(now: Service | None) -> bool:
            return now is None or known is None or now.incarnation != known.incarnation

        if not await self._feed.until(service_id, gone, SEEN_WITHIN) and known is not None:
            self._feed.deregistered(service_id, known.incarnation)

    async def promote(self, name: str, from_role: str, to_role: str) -> int:
        """Change the role of all instances; returns how many there were. Raises ServiceNotFound where none."""
        count = await self._client.promote(name, from_role, to_role)
        if from_role == to_role:
            return count
        instances = [each for each in self._feed.services.values() if (each.name, each.role) == (name, from_role)]

        def promoted(now: Service | None) -> bool:
            return now is None or now.role != from_role

        waits = [self._feed.until(each.service_id, promoted, SEEN_WITHIN) for each in instances]
        await asyncio.gather(*waits)
        return count

    async def beat(self, service_id: str, reported: Reported) -> BeatAcknowledged:
        """Relay a heartbeat. Raises ServiceNotFound, RegistryUnavailable."""
        if self._feed.service(service_id) is None:
            if not self._relay.connected:
                raise RegistryUnavailable("the registry is away")
            # Perhaps registered just now, by somebody else: the registry knows.
            service = await self._client.get_service(service_id)
            if not await self._feed.until(service_id, lambda now: now is not None, SEEN_WITHIN):
                self._feed.registered(service)
        acknowledged = await self._relay.beat(service_id, reported)
        if self._feed.service(service_id) is None:
            raise ServiceNotFound(f"no service has the id {service_id!r}")
        self._feed.beaten(service_id, reported, acknowledged.heard_at, acknowledged.revision)
        self.counted += 1
        return acknowledged

    async def publish(self, event_type: str, details: Mapping[str, Any], **fields: Any) -> Event:
        """Append an event to the log."""
        event = await self._client.publish_event(event_type, details=details, **fields)
        await self._feed.until_event(event.sequence, SEEN_WITHIN)
        return event

    async def acknowledge_all(self, service_id: str = "") -> Acknowledged:
        """As an operator: acknowledge all that waits, or all about a service, and what was lost."""
        return await self._client.acknowledge_all(service_id=service_id)

    async def acknowledge(self, alert_id: str, recipient: str = "") -> int:
        """Acknowledge an alert; returns how many copies waited. Raises AlertNotFound."""
        return await self._client.acknowledge(alert_id, recipient)
