"""The types of event that are judgements of TRON. Pure."""

from __future__ import annotations

TRON_ALERTS = (
    "heartbeat_miss",
    "service_down",
    "service_deregistered",
    "heartbeat_restored",
    "service_suspect",
    "service_stalled",
    "cascading_failure",
    "parent_down",
)
