"""The settings of the registry: table `[registry]` of `tron.toml`, environment TRON_REGISTRY_*, flags of `tron
registry`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliImplicitFlag

from grid_hosting.program import Listen, OptionalListen, ProgramConfig
from grid_hosting.sinks.config import SinksConfig


class Config(ProgramConfig):
    """The gRPC registry: records registrations, connections and heartbeats."""

    listen: Listen = "127.0.0.1:6122"
    """Listen address, HOST:PORT. Port 0: any free port. No HOST: all interfaces of the machine."""
    data_dir: Path = Path("tron-data")
    """Directory of the database; an empty directory begins a new system."""
    event_retention_days: float = Field(default=7.0, gt=0, le=3650)
    """Days for which events are kept. More days keep more history, in a larger file (about 1 KB per event)."""
    max_streams: int = Field(default=20_000, ge=1)
    """Maximum number of Heartbeat streams. Each stream takes about 40 KB of memory."""
    max_streams_per_peer: int = Field(default=1024, ge=1)
    """Maximum number of Heartbeat streams on one connection. Further streams are refused; open streams continue."""
    first_message_timeout: float = Field(default=10.0, gt=0)
    """Seconds within which a new Heartbeat stream must send its first message."""
    max_message_bytes: int = Field(default=1 << 20, ge=64 << 10)
    """Maximum size of one incoming message, in bytes. A larger message ends its call with RESOURCE_EXHAUSTED."""
    monitor_lost_after: float = Field(default=5.0, gt=0, le=3600)
    """Seconds without TRON after which operators are notified, if TRON was connected before."""
    sinks: SinksConfig = SinksConfig()
    """Where operators are notified that TRON is lost, in addition to the log."""
    metrics_listen: OptionalListen = "127.0.0.1:6124"
    """Listen address of the metrics for Prometheus, which are served as http://HOST:PORT/metrics. Port 0: any free
    port; `off`: no metrics. If the address is in use, the registry logs that and serves no metrics."""
    self_register: CliImplicitFlag[bool] = True
    """Register the registry itself, so that it is listed like any other service."""
