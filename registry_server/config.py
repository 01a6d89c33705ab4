"""The settings of the registry. They come from the table `[registry]` of `tron.toml`, the environment variables
TRON_REGISTRY_*, and the flags of `tron registry`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import CliImplicitFlag

from grid_hosting.program import Listen, OptionalListen, ProgramConfig
from grid_hosting.sinks.config import SinksConfig


class Config(ProgramConfig):
    """The registry: a gRPC server that records registrations, connections and heartbeats."""

    listen: Listen = "127.0.0.1:6122"
    """Listen address, HOST:PORT. Use port 0 for any free port; leave out HOST to listen on all interfaces."""
    data_dir: Path = Path("tron-data")
    """Directory of the database. If it is empty, the registry starts with a new, empty database."""
    event_retention_days: float = Field(default=7.0, gt=0, le=3650)
    """Days for which events are kept. A higher value keeps more history, in a larger file (about 1 KB per event)."""
    max_streams: int = Field(default=20_000, ge=1)
    """Maximum number of open Heartbeat streams. Each stream takes about 40 KB of memory."""
    max_streams_per_peer: int = Field(default=1024, ge=1)
    """Maximum number of open Heartbeat streams on one connection. Further streams are refused; open streams
    continue."""
    first_message_timeout: float = Field(default=10.0, gt=0)
    """Seconds within which a client must send its first message on a new Heartbeat stream."""
    max_message_bytes: int = Field(default=1 << 20, ge=64 << 10)
    """Maximum size of one incoming message, in bytes. A larger message ends its call with RESOURCE_EXHAUSTED."""
    monitor_lost_after: float = Field(default=5.0, gt=0, le=3600)
    """Seconds without TRON after which operators are notified that it is lost, if TRON was connected before."""
    sinks: SinksConfig = SinksConfig()
    """Destinations, in addition to the log, of the notices to operators that TRON is lost or back."""
    metrics_listen: OptionalListen = "127.0.0.1:6124"
    """Listen address of the metrics for Prometheus, which are served as http://HOST:PORT/metrics. Use port 0 for any
    free port, or `off` to disable metrics. If the address is in use, the registry logs that and serves no metrics."""
    self_register: CliImplicitFlag[bool] = True
    """Register the registry itself, so that it is listed like any other service."""
