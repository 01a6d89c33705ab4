"""What requests are answered from, and the four applications that answer them."""

from __future__ import annotations

from dataclasses import dataclass

from tron_client import AsyncRegistryClient

from gateway_http.live_feed import LiveFeed


@dataclass(frozen=True, slots=True)
class Gateway:
    """What all four ports share."""

    feed: LiveFeed
    registry: AsyncRegistryClient
    """For writes; its errors are those of `tron_client.errors`."""
