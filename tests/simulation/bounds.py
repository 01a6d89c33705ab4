"""Since when a service cannot be heard, and until when that must be judged, by the policy and by what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry_server.core.record import Record
from tests.simulation.network import SENT_AGAIN, UP
from tron.hold import LONGEST
from tron.policy import Policy
from tron.returns import RETURNING

if TYPE_CHECKING:
    from tests.simulation.sim_agent import SimAgent


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a service that cannot be heard; all in virtual seconds."""

    out_since: float
    arrived_at: float
    """When something of it last reached the registry."""
    answered_at: float
    """When the registry last sent it the answer to a registration: before that, it cannot send heartbeats."""
    broke_at: float
    """When the registry last saw its stream end."""
    hearing_from: float
    """Since when the registry hears without a break."""
    returned_at: float
    """When a service last came back since then: registered for the first time."""
    judging_from: float
    """Since when nothing is wrong with those who judge."""
    deaf_for: float
    """For how long the registry did not hear in this life: seconds that do not count."""


def down_by(record: Record, agent: SimAgent, known: Evidence, policy: Policy, hearing_since: float) -> float:
    """Until when it must be declared down. `agent` is the process that holds the incarnation; `hearing_since` is in the
    registry's attentive seconds, as the times of the record are."""
    spec = record.spec
    grace = policy.reconnect_grace if spec.reconnect_grace is None else spec.reconnect_grace
    silence = policy.silence(spec.heartbeat_interval, policy.misses_before_down)
    judged_all_along = known.judging_from <= known.out_since
    told = not agent.up and not agent.vanished and not agent.path.blocked[UP]
    since = max(known.out_since, known.arrived_at, known.judging_from)
    if agent.path.opened_at > known.out_since:
        since = max(since, agent.path.opened_at + SENT_AGAIN)  # the end of its stream was held up
    busy_until = agent.busy_until + known.deaf_for if agent.busy_until else 0.0
    by_silence = max(since, known.answered_at, busy_until) + silence
    we_ended_it = record.session is None and bool(record.detached_reason)
    if told and record.streamed and not we_ended_it:  # the kernel said that its stream ended
        bound = since + (grace if judged_all_along else max(silence, grace))
    else:
        bound = by_silence
    if record.session is None and record.streamed and not we_ended_it:
        bound = max(bound, max(since, known.broke_at) + grace)  # also if it is not back since a restart
    attached_before = record.attached_at is None or record.attached_at <= hearing_since
    if attached_before or known.arrived_at <= known.hearing_from:
        returning_until = min(known.returned_at + RETURNING, known.hearing_from + LONGEST)
        bound = max(bound, max(known.hearing_from + policy.reattach_window, returning_until) + grace)
    return bound


def silent_since(processes: list[SimAgent]) -> float | None:
    """Since when nothing can come from any process of a service; None where something can."""
    latest = 0.0
    for agent in processes:
        if agent.up and agent.over:
            continue  # told to stop, and it did
        causes = [agent.died_at if not agent.up else None, agent.paused_at, agent.path.blocked_since[UP]]
        began = [each for each in causes if each is not None]
        if not began:
            return None
        latest = max(latest, min(began))
    return latest
