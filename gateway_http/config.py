"""The settings of the gateway: table `[gateway]` of `tron.toml`, environment TRON_GATEWAY_*, flags of `tron
gateway`."""

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
    """The gateway: the legacy contract, a JSON API and the dashboard, over the gRPC registry and TRON."""

    registry: Dial = "127.0.0.1:6122"
    """The address of the registry."""
    tron: Dial = "127.0.0.1:6123"
    """The address of TRON."""
    token_file: OptionalFile = None
    """File with the token that the gateway sends to the registry and TRON; only its owner may have access to it.
    Default: the token of TRON_TOKEN_FILE or TRON_TOKEN."""
    registry_http_listen: Listen = "127.0.0.1:6121"
    """Listen address of the legacy Registry REST, and of the JSON API under /v1. Port 0: any free port. No HOST: all
    interfaces of the machine."""
    tron_http_listen: Listen = "127.0.0.1:6109"
    """Listen address of the legacy TRON REST."""
    events_http_listen: Listen = "127.0.0.1:6102"
    """Listen address of the legacy Event Stream (Socket.IO and SSE)."""
    hmi_listen: Listen = "127.0.0.1:6101"
    """Listen address of the dashboard."""
    root_path: Annotated[str, AfterValidator(_without_last_slash)] = Field(
        default="", pattern=r"^(/[A-Za-z0-9._~-]+)*/?$"
    )
    """Path prefix under which a reverse proxy serves the gateway, such as `/tron`. Needed only if the proxy leaves the
    prefix in place, or serves the dashboard without a slash at the end; all addresses are relative."""
    data_dir: Path = Path("tron-data")
    """Directory for the settings that the HMI keeps, and, in `events`, for the alert files. The gateway has no other
    state."""
    alert_file_days: int = Field(default=30, ge=0)
    """Days for which the legacy `heartbeat_alerts_YYYYMMDD.jsonl` files are kept. 0: no file is written."""
    max_body_bytes: int = Field(default=1 << 20, ge=64 << 10)
    """Maximum size of one request body, in bytes. A larger body is answered 413."""
    max_connections: int = Field(default=2000, ge=10)
    """Maximum number of open connections on one port, including streams. Beyond it a request is answered 503."""
    self_register: CliImplicitFlag[bool] = True
    """Register the gateway, the Event Stream and the HMI, so that they are listed like any other service."""
