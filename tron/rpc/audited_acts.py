"""The methods of TronService by which operators change something, and what a request is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grid_hosting.auditing import TargetOf


def _service(request: Any) -> str:
    return str(request.service_id) or "*"


ACTS: Mapping[str, TargetOf] = {
    "/grid.tron.v1.TronService/SetPolicy": _service,
    "/grid.tron.v1.TronService/SetMaintenance": _service,
}
"""By the full name of the method. A test compares this with the table of roles."""
