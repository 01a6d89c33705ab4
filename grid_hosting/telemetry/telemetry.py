"""Starts and ends the publication of a program's metrics together with the program."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog

from grid_hosting.open_call_checks import Authority
from grid_hosting.start import StartError
from grid_hosting.telemetry.endpoint import Endpoint
from grid_hosting.telemetry.exposition import page_of
from grid_hosting.telemetry.metrics import Metric, Reading
from grid_hosting.telemetry.scrapers import Scrapers
from grid_hosting.transport_security import ExposedError, TransportSecurity

if TYPE_CHECKING:
    from grid_hosting.telemetry.otlp import OtlpSender

log = structlog.get_logger("metrics")

READ_WITHIN = 3.0
"""Seconds within which the event loop must read the values. If the loop is stuck, a scrape fails."""


def read_all(metrics: Iterable[Metric]) -> list[Reading]:
    """Return all current values. A metric that cannot be read is a bug; it is logged, and left out."""
    readings = []
    for metric in metrics:
        try:
            readings.append(Reading(metric, tuple(metric.read())))
        except Exception:
            log.exception("metric_unreadable", metric=metric.name)
    return readings


class Telemetry:
    """Publishes the metrics of a program while it runs. Create it on the event loop, on which all values are read."""

    def __init__(
        self,
        program: str,
        metrics: Iterable[Metric],
        *,
        listen: str = "",
        otlp_endpoint: str = "",
        security: TransportSecurity | None = None,
        authority: Authority | None = None,
    ) -> None:
        """`listen` is the listen address of the page; if it is empty, there is no page. `otlp_endpoint` is the base URL
        of a collector to which the metrics are sent; if it is empty, the environment variables of OpenTelemetry may set
        one. If metrics cannot be served or sent, this is logged, and the program runs without them. `security` secures
        the page; if it is None, the page is in plaintext, on any address. `authority` identifies the callers of the
        page, and those with the role observer are served; if it is None, all callers are. Raises ExposedError if
        `security` does not admit the address of the page."""
        self._metrics = tuple(metrics)
        self._loop = asyncio.get_running_loop()
        self._endpoint: Endpoint | None = None
        if listen:
            try:
                scrapers = None if authority is None else Scrapers(authority, self._loop)
                self._endpoint = Endpoint(listen, page_of(self._read), security, scrapers)
            except ExposedError:
                raise
            except StartError as error:
                log.error("metrics_not_served", setting="metrics_listen", why=str(error))
            else:
                scheme = "http" if security is None else security.scheme()
                log.info("metrics_serving", url=f"{scheme}://{self.address}/metrics")
        self._sender = self._start_sender(program, otlp_endpoint) if otlp_endpoint or _environment_sends() else None

    @property
    def address(self) -> str:
        """The address of the page; empty if there is none."""
        return "" if self._endpoint is None else self._endpoint.address

    def close(self) -> None:
        """Stop serving and sending metrics."""
        if self._endpoint is not None:
            self._endpoint.close()
        if self._sender is not None:
            self._sender.close()

    def _start_sender(self, program: str, endpoint: str) -> OtlpSender | None:
        try:
            from grid_hosting.telemetry.otlp import OtlpSender  # libraries that few programs need
        except ModuleNotFoundError as missing:
            why = f"{missing.name} is not installed; install it with: pip install 'tron-grid[otel]'"
            log.error("metrics_not_sent", setting="otlp_endpoint", why=why)
            return None
        log.info("metrics_sending", endpoint=endpoint or "as OTEL_EXPORTER_OTLP_ENDPOINT says")
        return OtlpSender(program, endpoint, self._read)

    def _read(self) -> list[Reading]:
        """Return the current values, read between two turns of the loop, so that nothing changes meanwhile. For other
        threads."""
        reading = asyncio.run_coroutine_threadsafe(self._take(), self._loop)
        try:
            return reading.result(READ_WITHIN)
        except TimeoutError:
            reading.cancel()
            log.warning("metrics_unread", why=f"the event loop did not answer for {READ_WITHIN:g} s")
            raise

    async def _take(self) -> list[Reading]:
        return read_all(self._metrics)


def _environment_sends() -> bool:
    """Return whether the variables of OpenTelemetry ask for metrics to be sent."""
    variables = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    other = os.environ.get("OTEL_METRICS_EXPORTER", "otlp") != "otlp"
    return not disabled and not other and any(map(os.environ.get, variables))
