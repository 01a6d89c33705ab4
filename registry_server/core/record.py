"""The registry's data about one service."""

from __future__ import annotations

from dataclasses import dataclass, field

from grid_model.declaration import Declaration
from grid_model.service import ServiceRole

from registry_server.core.service import Judgement, Report


@dataclass(slots=True)
class Record:
    """All data about one registered service. Times `*_at` are attentive seconds unless stated otherwise."""

    spec: Declaration
    declared_role: ServiceRole
    incarnation: int
    instances: tuple[tuple[str, int], ...]
    registered_at: float  # seconds since the epoch
    last_heartbeat_at: float  # seconds since the epoch
    heard_at: float
    stored_heartbeat_at: float = 0.0  # the last_heartbeat_at that is on disk, or on its way there
    streamed: bool = False
    session: int | None = None
    attached_at: float | None = None
    detached_at: float | None = None
    detached_reason: str = ""
    """The error reason for which the registry ended the service's last stream, which is no evidence about the service;
    empty if the agent's side ended it."""
    observation: int = 0
    worst_gap: float = 0.0
    """The longest time between two heartbeats on a stream since the registry started, without declared busy times, in
    seconds."""
    earlier_streams_for: float = 0.0
    """Total time for which earlier streams carried this incarnation since the registry started, in seconds."""
    report: Report = field(default_factory=Report)
    active_at: float = 0.0
    busy_until_at: float | None = None
    busy_declared_at: float | None = None
    learned_clock_at: float = 0.0
    """The value of `Instant.set_by` when the service read the registry's wall clock, which it does when it registers on
    a stream."""
    judgement: Judgement = field(default_factory=Judgement)
    judged_at: float = 0.0
    told_down: bool = False
    process: str = ""
    """The process whose other agents share the service's stream; empty if the service has a stream of its own."""
    unanswered: bool = False
    """Whether the service waits for the answer to its registration, or the registry does not read its stream. Then it
    cannot be heard, so its silence is not evidence."""
