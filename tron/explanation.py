"""Why a service is judged as it is, in words that a tired person at night understands. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tron.facts import Cause, Kind, Lease, State
from tron.judge import Judge
from tron.policy import Policy

_WILL = {
    Kind.MISS: "suspect (a beat is missed)",
    Kind.SUSPECT: "suspect (its stream is broken)",
    Kind.STALL: "suspect (it does not get on)",
    Kind.DOWN: "down",
    Kind.DEREGISTER: "given up and removed",
    Kind.RECOVER: "alive again",
    Kind.RESTORE: "alive again, and its return is told",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One sentence, the rule that fired (its name and text), what will happen in how many seconds, and the rest."""

    verdict: str
    rule: str
    deadlines: list[tuple[str, float]] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)


def explain(judge: Judge, service_id: str) -> Explanation | None:
    """What is thought of a service, and why; None where it is not registered."""
    lease = judge.detector.find(service_id)
    if lease is None:
        return None
    policy = judge.policies.of(service_id)
    deadlines = [(_WILL[kind], round(due - judge.now, 3)) for kind, due in judge.detector.deadlines(service_id)]
    return Explanation(_verdict(judge, lease), _rule(judge, lease, policy), deadlines, _evidence(judge, lease, policy))


def _verdict(judge: Judge, lease: Lease) -> str:
    facts, now = lease.facts, judge.now
    silent, judged = _seconds(now - lease.heard_at), _seconds(now - lease.judged_at)
    match lease.state:
        case State.ALIVE:
            sentence = f"{facts.name} is alive: heard {silent} ago"
            sentence += ", its stream stands" if facts.connected else _no_stream(lease)
            busy = _busy_for(judge, lease)
            sentence += f"; busy for another {_seconds(busy)}" if busy > 0 else ""
        case State.SUSPECT if lease.disconnected:
            broken = facts.detached_at
            when = "before the registry started" if broken is None else f"{_seconds(now - broken)} ago"
            sentence = f"{facts.name} is suspect: its stream broke {when}, and it is not back yet"
        case State.SUSPECT if lease.cause is Cause.STALLED:
            sentence = f"{facts.name} is stalled: it beats, but has not got on for {_seconds(now - facts.active_at)}"
        case State.SUSPECT:
            sentence = f"{facts.name} is suspect: silent for {silent}"
        case State.DOWN:
            why = "its stream broke and it did not come back" if lease.cause is Cause.DISCONNECTED else "it fell silent"
            sentence = f"{facts.name} is down since {judged} ago: {why}; last heard {silent} ago"
    ended = facts.detached_reason if not facts.connected and lease.state is not State.ALIVE else ""
    notes = [
        f"the registry itself ended its stream ({ended}), so only silence is judged" if ended else "",
        "an operator holds notices about it" + (f" ({facts.maintenance_reason})" if facts.maintenance_reason else "")
        if facts.maintained
        else "",
        "it is flapping, so its suspicions are not told" if judge.damping.is_damped(facts.service_id, now) else "",
        "it failed with many others, so notices about it are held" if judge.guard.covers(facts.service_id) else "",
        "its failure is listed in the alert of an ancestor" if judge.groups.alert_listing(facts) else "",
    ]
    return "; ".join([sentence, *filter(None, notes)]) + "."


def _rule(judge: Judge, lease: Lease, policy: Policy) -> str:
    facts = lease.facts
    interval = facts.interval
    tolerance = max(policy.tolerance_ratio * interval, policy.tolerance_min)
    grace = policy.reconnect_grace if facts.reconnect_grace is None else facts.reconnect_grace
    held_until = judge.detector.held_until(lease)
    if lease.state is not State.DOWN and judge.now < held_until:
        return f"reattach_window: the registry hears since {_seconds(judge.now - judge.detector.hearing_since)}; \
nobody is judged by what was before for {policy.reattach_window:g} s"
    # What was judged to be something else first, and lost its stream since, is judged by that.
    broken = lease.state is State.SUSPECT and lease.disconnected
    match lease.state, Cause.DISCONNECTED if broken else lease.cause:
        case State.ALIVE, _:
            return f"heard_in_time: a beat is due every {interval:g} s; {policy.misses_before_warning} missed \
(plus {tolerance:g} s) make a suspect"
        case State.SUSPECT, Cause.STALLED:
            return f"stall_after: the activity counter may stand still for {facts.stall_after or 0:g} s; \
who beats is never declared down for it"
        case State.SUSPECT, Cause.DISCONNECTED:
            silence = policy.silence(interval, policy.misses_before_down)
            sooner = f", or {silence:g} s after the last beat if that is sooner" if lease.cause is Cause.SILENT else ""
            at_once = "stream_broke: a broken stream is suspect at once"
            return f"{at_once}, and down after reconnect_grace ({grace:g} s){sooner}"
        case State.SUSPECT, _:
            return f"missed_beats: {policy.misses_before_warning} x {interval:g} s + {tolerance:g} s without a beat"
        case _, Cause.DISCONNECTED:
            return f"reconnect_grace: not back within {grace:g} s after its stream broke"
    return f"missed_beats: {policy.misses_before_down} x {interval:g} s + {tolerance:g} s without a beat"


def _evidence(judge: Judge, lease: Lease, policy: Policy) -> dict[str, Any]:
    facts, now = lease.facts, judge.now
    deadline = policy.silence(facts.interval, policy.misses_before_down)
    found: dict[str, Any] = {
        "state": lease.state.name,
        "cause": lease.cause.name,
        "judged_for_seconds": round(now - lease.judged_at, 3),
        "silent_for_seconds": round(now - lease.heard_at, 3),
        "connected": facts.connected,
        "streamed": facts.streamed,
        "incarnation": facts.incarnation,
        "observation": lease.observation,
        "missed_beats": lease.missed_beats,
        "told_to": list(facts.notified),
        "is_told": judge.hierarchy.recipient_of(facts),
        "open_alerts": len(judge.escalations.about(facts.service_id)),
        "registry_hears_for_seconds": round(now - judge.detector.hearing_since, 3),
        "maintenance": facts.maintained,
        "damped": judge.damping.is_damped(facts.service_id, now),
        "suspicions_in_flap_window": judge.damping.count(facts.service_id, now, policy.flap_window),
        "mass_failure": judge.guard.active,
        "down_after_seconds": round(deadline, 3),
    }
    causes = [cause for kind, _, cause in judge.detector.forecast(facts.service_id) if kind is Kind.DOWN]
    if causes:
        found["will_be_down_for"] = causes[0].name
    if facts.detached_reason:
        found["detached_reason"] = facts.detached_reason
    if lease.worst_gap > 0:
        found["worst_gap_seconds"] = round(lease.worst_gap, 3)
        found["safety_margin"] = round(1 - lease.worst_gap / deadline, 3)
        found["suggested_down_after_seconds"] = round(max(2 * lease.worst_gap, facts.interval), 3)
    optional = {
        "attached_for_seconds": facts.attached_at,
        "broken_for_seconds": facts.detached_at,
        "inactive_for_seconds": facts.active_at if facts.stall_after is not None else None,
    }
    found |= {name: round(now - at, 3) for name, at in optional.items() if at is not None}
    if _busy_for(judge, lease) > 0:
        found["busy_for_another_seconds"] = round(_busy_for(judge, lease), 3)
    grouped = judge.groups.alert_listing(facts)
    if grouped:
        found["folded_into"] = grouped
    return found


def _busy_for(judge: Judge, lease: Lease) -> float:
    return judge.detector.busy_until(lease) - judge.now


def _no_stream(lease: Lease) -> str:
    facts = lease.facts
    if facts.streamed and not lease.disconnected:
        return f", the registry itself ended its stream ({facts.detached_reason}): silence judges it"
    return ", its stream broke and is not judged yet" if facts.streamed else " (it has no stream: silence judges it)"


def _seconds(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
