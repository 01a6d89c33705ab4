"""The methods of TronService with which operators change something; the audit log records each call of them."""

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
"""By the full name of each such method: the function that returns the id that a request is about, `*` for all."""
