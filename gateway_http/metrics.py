"""The metrics of the gateway, and the route GET /metrics on the port of the legacy Registry REST API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Protocol

from fastapi import APIRouter, Request, Response

from gateway_http.gateway import Gateway
from gateway_http.http.authentication import HttpAuthentication
from gateway_http.http.event_streams import MOST_STREAMS
from gateway_http.http.sessions import MOST_SESSIONS
from gateway_http.upstream.beat_relay import MOST_WAITING
from grid_hosting.telemetry.exposition import page_of, render
from grid_hosting.telemetry.metrics import Metric, Reading, counter, counters, gauge
from grid_hosting.telemetry.program_metrics import Queues, program_metrics


class PortState(Protocol):
    """The counts of one port. The server state of uvicorn has them."""

    @property
    def connections(self) -> Sized:
        """The open connections of the port."""
        ...

    @property
    def total_requests(self) -> int:
        """The number of requests since the port was opened."""
        ...


def gateway_metrics(
    gateway: Gateway, ports: Mapping[str, PortState], authentication: HttpAuthentication | None = None
) -> list[Metric]:
    """Return the metrics of the gateway: counts since its start, and its current state. `ports`: the counts of each
    port, by the key under which the ready file contains the address of the port; ports may be added later.
    `authentication`: authenticates the callers; None if authentication is off."""

    def queues() -> Queues:
        connections = {
            f"connections:{key}": (len(port.connections), gateway.config.max_connections) for key, port in ports.items()
        }
        sessions = {} if authentication is None else {"sessions": (len(authentication.callers.sessions), MOST_SESSIONS)}
        return {
            **connections,
            **sessions,
            "event_streams": (gateway.streams.count, MOST_STREAMS),
            "heartbeats": (gateway.actions.beats_waiting, MOST_WAITING),
        }

    return [
        gauge(
            "tron_gateway_live",
            "1 while the gateway's copy of the registry's data is current; otherwise 0.",
            lambda: gateway.replica.live,
        ),
        gauge(
            "tron_gateway_stale_seconds",
            "Seconds since the gateway's copy of the registry's data was last current; 0 while it is.",
            lambda: gateway.replica.stale_for,
        ),
        gauge(
            "tron_gateway_watched",
            "1 while TRON reports to the gateway that it is watching the services; otherwise 0.",
            lambda: gateway.tron.status.watching,
        ),
        counters(
            "tron_gateway_requests_total",
            "Number of HTTP requests, by port.",
            ("port",),
            lambda: {(key,): port.total_requests for key, port in ports.items()},
        ),
        counter(
            "tron_gateway_writes_total",
            "Number of registrations and heartbeats over REST that the registry accepted.",
            lambda: gateway.actions.counted,
        ),
        *program_metrics("gateway", queues),
    ]


def router(read: Callable[[], list[Reading]]) -> APIRouter:
    """Return the route GET /metrics. `read` returns the current values of all metrics."""
    routes = APIRouter(tags=["metrics"])
    page = page_of(read)

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {
                "content": {"text/plain": {"schema": {"type": "string"}}},
                "description": "Metrics in the format that the `Accept` header requests, such as OpenMetrics",
            }
        },
    )
    async def metrics(request: Request) -> Response:
        """Return the metrics of the gateway, for Prometheus."""
        body, content_type = render(page, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return routes
