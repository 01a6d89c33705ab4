"""When the parent of a canary must have heard of its death, and when it did: docs/failure-model.md as arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GRACE = 2.0
"""`reconnect_grace` of the policy."""

ALLOWED = 0.5
"""Seconds after its bound at which an alert is late."""


def silence(misses: int, interval: float) -> float:
    """`silence(n)` of the policy's defaults, in seconds."""
    return misses * interval + max(0.1 * interval, 0.25)


@dataclass(frozen=True, slots=True)
class Due:
    """One alert that must come: from when it may be late, and how much it was, None if it never came."""

    service_id: str
    how: str
    type: str
    bound: float
    late: float | None

    @property
    def in_time(self) -> bool:
        """Whether it came, and not too late."""
        return self.late is not None and self.late <= ALLOWED


def due(
    deaths: Iterable[Mapping[str, Any]],
    alerts: Iterable[Mapping[str, Any]],
    interval: float,
    parent_since: float,
) -> tuple[list[Due], list[Due]]:
    """What must be reported of these deaths, and the removals that follow.

    A cut is counted from the reset of the connection, silence from the last beat or, if it is later, from when the
    agent heard that it is registered. Two alerts for each death must come in time: the suspicion (`service_suspect` or
    `heartbeat_miss`) and `service_down`. `service_deregistered` is returned apart: it is not urgent. Nobody can be told
    before the parent is (back) on its stream, which is `parent_since`, in seconds since the epoch. If that is after the
    death, a parent that hears of the death is not sent the suspicion any more, which the death has overtaken: such a
    suspicion that did not come is in neither list.
    """
    heard: dict[tuple[str, str], float] = {}
    for alert in alerts:
        heard.setdefault((alert["id"], alert["type"]), alert["at"])
    urgent: list[Due] = []
    removals: list[Due] = []

    def add(to: list[Due], death: Mapping[str, Any], kind: str, bound: float) -> None:
        at = heard.get((death["id"], kind))
        bound = max(bound, parent_since)
        to.append(Due(death["id"], death["how"], kind, bound, None if at is None else at - bound))

    for death in deaths:
        beat = death["last_beat_at"]
        if death["how"] == "cut":
            suspicion, suspect, down = "service_suspect", death["at"], death["at"] + GRACE
        else:
            suspicion, suspect, down = "heartbeat_miss", beat + silence(1, interval), beat + silence(2, interval)
        overtaken = down < parent_since and (death["id"], "service_down") in heard
        if not overtaken or (death["id"], suspicion) in heard:
            add(urgent, death, suspicion, suspect)
        add(urgent, death, "service_down", down)
        add(removals, death, "service_deregistered", max(beat + silence(3, interval), down + interval))
    return urgent, removals
