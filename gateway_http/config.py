"""The settings of the gateway, from the table `[gateway]` of `tron.toml`, the environment variables TRON_GATEWAY_*, and
the flags of `tron gateway`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import CliImplicitFlag

from grid_hosting.dialing import Dial
from grid_hosting.program import Listen, ProgramConfig
from grid_hosting.security import OptionalFile


def _without_last_slash(path: str) -> str:
    return path.rstrip("/")


class Config(ProgramConfig):
    """The gateway serves the legacy contract, a JSON API and the dashboard over HTTP, as a client of the registry and
    TRON."""

    registry: Dial = "127.0.0.1:6122"
    """The address of the registry."""
    tron: Dial = "127.0.0.1:6123"
    """The address of TRON."""
    token_file: OptionalFile = None
    """File that contains the token that the gateway sends to the registry and TRON. Only the owner of the file may have
    access to it. If it is not set, the gateway uses the token of TRON_TOKEN_FILE or TRON_TOKEN."""
    registry_http_listen: Listen = "127.0.0.1:6121"
    """Listen address, HOST:PORT, of the legacy Registry REST API and of the JSON API under /v1. Use port 0 for any free
    port; leave out HOST to listen on all interfaces."""
    tron_http_listen: Listen = "127.0.0.1:6109"
    """Listen address of the legacy TRON REST API."""
    events_http_listen: Listen = "127.0.0.1:6102"
    """Listen address of the legacy Event Stream (Socket.IO and SSE)."""
    hmi_listen: Listen = "127.0.0.1:6101"
    """Listen address of the dashboard."""
    root_path: Annotated[str, AfterValidator(_without_last_slash)] = Field(
        default="", pattern=r"^(/[A-Za-z0-9._~-]+)*/?$"
    )
    """Path prefix under which a reverse proxy serves the gateway, such as `/tron`. It is needed only if the proxy does
    not remove the prefix, or if it serves the dashboard at an address without a slash at the end; otherwise the
    relative addresses on the pages are sufficient."""
    data_dir: Path = Path("tron-data")
    """Directory in which the gateway stores the settings of the legacy HMI and, in the subdirectory `events`, the alert
    files. The gateway has no other state."""
    alert_file_days: int = Field(default=30, ge=0)
    """Days for which the legacy `heartbeat_alerts_YYYYMMDD.jsonl` files are kept. Use 0 to write no files."""
    max_body_bytes: int = Field(default=1 << 20, ge=64 << 10)
    """Maximum size of one request body, in bytes. A larger body is refused with status 413."""
    max_connections: int = Field(default=2000, ge=10)
    """Maximum number of open connections on one port, including streams. A request beyond this limit is refused with
    status 503."""
    self_register: CliImplicitFlag[bool] = True
    """Register the gateway, the Event Stream and the HMI as services, so that they are listed like any other
    service."""
