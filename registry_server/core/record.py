"""What the registry knows of one service, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from grid_model.declaration import Declaration
from grid_model.service import ServiceRole

from registry_server.core.service import Judgement, Report


@dataclass(slots=True)
class Record:
    """Everything known about one registered service. Times `*_at` are attentive unless said otherwise."""

    spec: Declaration
    declared_role: ServiceRole
    incarnation: int
    instances: tuple[tuple[str, int], ...]
    registered_at: float  # seconds since the epoch
    last_heartbeat_at: float  # seconds since the epoch
    heard_at: float
    streamed: bool = False
    session: int | None = None
    attached_at: float | None = None
    detached_at: float | None = None
    detached_reason: str = ""
    """Why we ended its last stream, as an error reason, which says nothing of it; empty if the other side ended it."""
    observation: int = 0
    report: Report = field(default_factory=Report)
    active_at: float = 0.0
    busy_until_at: float | None = None
    busy_declared_at: float | None = None
    judgement: Judgement = field(default_factory=Judgement)
    judged_at: float = 0.0
    told_down: bool = False
    process: str = ""
    """The process with whose other agents it shares a stream; empty if it is alone."""
    unanswered: bool = False
    """Whether it waits for the answer to its registration: it cannot beat before, so its silence is not evidence."""
