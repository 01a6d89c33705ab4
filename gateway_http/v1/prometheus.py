"""The targets for the http_sd_config of Prometheus. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tron_client import Service

_PORTS = {"http": 80, "https": 443}
_NOT_A_LABEL = re.compile(r"[^a-zA-Z0-9_]")


def target_groups(services: Iterable[Service]) -> list[dict[str, Any]]:
    """Return one target group for each service that is not down and whose URL has a host and a port, ordered by service
    id."""
    groups: list[dict[str, Any]] = []
    for service in sorted(services, key=lambda each: each.service_id):
        target = _target(service.url)
        if target is not None and service.liveness != "DOWN":
            groups.append({"targets": [target[0]], "labels": _labels(service, target[1])})
    return groups


def _target(url: str) -> tuple[str, SplitResult] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    host = parts.hostname
    if not host or not port or not host.isprintable():
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}", parts


def _labels(service: Service, url: SplitResult) -> dict[str, str]:
    labels = {
        "__meta_tron_service_id": service.service_id,
        "__meta_tron_name": service.name,
        "__meta_tron_type": service.type,
        "__meta_tron_role": service.role,
        "__meta_tron_parent": service.parent,
        "__meta_tron_status": service.status,
        "__meta_tron_liveness": service.liveness,
        "__meta_tron_scheme": url.scheme,
        # As Prometheus' own discoveries write lists: with the separator at both ends, so that one pattern finds each.
        "__meta_tron_caps": f",{','.join(service.caps)}," if service.caps else "",
    }
    if url.scheme in _PORTS:
        labels["__scheme__"] = url.scheme
    for key, value in service.labels.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            labels[f"__meta_tron_label_{_NOT_A_LABEL.sub('_', key)}"] = str(value)
        elif isinstance(value, bool):
            labels[f"__meta_tron_label_{_NOT_A_LABEL.sub('_', key)}"] = "true" if value else "false"
    return labels
