"""Settings of the registry: `tron.toml` table `[registry]`, environment TRON_REGISTRY_*, flags of `tron registry`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliImplicitFlag

from grid_hosting.program import Listen, OptionalListen, ProgramConfig
from grid_hosting.sinks.config import SinksConfig


class Config(ProgramConfig):
    """The gRPC registry: records registrations, connections and heartbeats."""

    listen: Listen = "127.0.0.1:6122"
    """Address to serve on, HOST:PORT. Port 0 picks a free port; no host means every interface of the machine."""
    data_dir: Path = Path("tron-data")
    """Folder of the database; an empty one is a fresh system."""
    event_retention_days: float = Field(default=7.0, gt=0, le=3650)
    """How long events are kept. Longer: more history, a larger file (about 1 KB an event)."""
    max_streams: int = Field(default=20_000, ge=1)
    """Heartbeat streams in all. Each costs about 40 KB of memory."""
    max_streams_per_peer: int = Field(default=1024, ge=1)
    """Heartbeat streams on one connection. Beyond it a stream is refused; the others are not disturbed."""
    first_message_timeout: float = Field(default=10.0, gt=0)
    """Seconds until an open Heartbeat stream must send its first message."""
    max_message_bytes: int = Field(default=1 << 20, ge=64 << 10)
    """Size of one incoming message. A larger one ends its call with RESOURCE_EXHAUSTED."""
    monitor_lost_after: float = Field(default=5.0, gt=0, le=3600)
    """Seconds without an observer until operators are notified, if there was one before."""
    sinks: SinksConfig = SinksConfig()
    """Where operators are notified that TRON is gone, beside the log."""
    metrics_listen: OptionalListen = "127.0.0.1:6124"
    """Where to serve metrics for Prometheus, as http://HOST:PORT/metrics. Port 0 picks a free port; empty: nowhere. An
    address in use is logged, and the registry runs without."""
    self_register: CliImplicitFlag[bool] = True
    """Register the registry itself, so that it appears like any other service."""
