"""Every sentence that people read from TRON: alerts, notices to operators, `tron explain`, refusals. Pure.

Nothing is decided here. `{name}` is the name of a service, and durations are seconds unless they are text already.
"""

from __future__ import annotations

from collections.abc import Iterable

# --- alerts ---------------------------------------------------------------------------------------------------------

MISSED_HEARTBEAT = "{name} missed a heartbeat"
STREAM_LOST = "{name} lost its stream"
STALLED = "{name} is sending heartbeats but making no progress"
DOWN = "{name} is down ({cause})"
DEREGISTERED = "{name} was deregistered ({cause})"
RESTORED = "{name} is back"

ORPHAN_KEEP = "continue"
ORPHAN_STOP = "stop"
ORPHAN_ADOPT = "alerts about you go to {stands_in}"


def with_subtree(message: str, count: int) -> str:
    """The alert of a failed parent that lists services below it."""
    return f"{message}, with {_counted(count, 'service')} below it"


def flapping(message: str, count: int, window: float) -> str:
    """The last suspicion before damping."""
    return f"{message}, {count} times in {window:g} s; further suspicions are suppressed until it is stable"


def cascade(count: int, live: int) -> str:
    """A mass failure."""
    return f"{count} of {live} services failed at once; their alerts and all deregistrations are held"


def orphan(parent: str, cause: str, instruction: str) -> str:
    """To a child whose parent is down."""
    return f"your parent {parent} is down ({cause}); {instruction}"


# --- details of alerts: why one is held, and why one has another recipient ------------------------------------------

HELD_MAINTENANCE = "maintenance"
HELD_MASS_FAILURE = "mass failure"
HELD_FLAPPING = "flapping"
HELD_IN_CASCADE = "listed in the alert of a mass failure"
HELD_UNREPORTED_FAILURE = "nobody was notified of its failure"
TAKES_BACK = "it was notified of the failure"
NO_OTHER_RECIPIENT = "no other recipient can be notified"


def not_acknowledged(seconds: float) -> str:
    """The recipient did not answer in time."""
    return f"not acknowledged within {seconds:g} s"


def not_registered(id_or_name: str) -> str:
    """The recipient is unknown."""
    return f"{id_or_name} is not registered"


def recipient_down(service_id: str) -> str:
    """The recipient is down."""
    return f"{service_id} is down"


# --- notices to operators about TRON itself -------------------------------------------------------------------------

REGISTRY_LOST = "the registry does not answer; liveness is not being evaluated until it does"
REGISTRY_BACK = "the registry answers again"
NEVER_REACHED = "no connection to it has succeeded yet"
STREAM_ENDED = "the stream ended"

# --- explain: the verdict -------------------------------------------------------------------------------------------

NOT_WATCHED = "TRON does not watch this service yet."

STREAM_OPEN = ", its stream is open"
STREAM_BROKEN = ", its stream broke and that is not judged yet"
NO_STREAM = " (it has no stream, so only missed heartbeats count)"
BEFORE_START = "before the registry started"
DOWN_BY_BREAK = "its stream broke and it did not reconnect"
DOWN_BY_SILENCE = "it stopped sending heartbeats"

NOTE_FLAPPING = "it is flapping, so its suspicions raise no alerts"
NOTE_MASS_FAILURE = "it failed with many others, so its alerts are held"
NOTE_GROUPED = "its failure is listed in the alert of an ancestor"


def alive(name: str, silent: float) -> str:
    """Start of the sentence about a service that is alive."""
    return f"{name} is alive: last heartbeat {duration(silent)} ago"


def busy(seconds: float) -> str:
    """It is exempt from silence for now."""
    return f"; busy for another {duration(seconds)}"


def suspect_broken(name: str, when: str) -> str:
    """Its stream broke. `when`: from `ago`, or BEFORE_START."""
    return f"{name} is suspect: its stream broke {when} and it has not reconnected"


def suspect_silent(name: str, silent: float) -> str:
    """It missed heartbeats."""
    return f"{name} is suspect: no heartbeat for {duration(silent)}"


def stalled(name: str, inactive: float) -> str:
    """It sends heartbeats, and its activity counter does not move."""
    return f"{name} is stalled: it is sending heartbeats but has made no progress for {duration(inactive)}"


def down(name: str, down_for: float, why: str, silent: float) -> str:
    """It is down. `why`: DOWN_BY_BREAK or DOWN_BY_SILENCE."""
    return f"{name} has been down for {duration(down_for)}: {why}; last heartbeat {duration(silent)} ago"


def stream_ended_by_registry(reason: str) -> str:
    """The registry closed its stream, which is no evidence."""
    return f"the registry itself ended its stream ({reason}), so only missed heartbeats count"


def note_maintenance(reason: str) -> str:
    """It is under maintenance."""
    return "its alerts are held for maintenance" + (f" ({reason})" if reason else "")


# --- explain: the rule that fired, after its name -------------------------------------------------------------------


def rule_reattach_window(hearing_for: float, window: float) -> str:
    """Evidence from before a start or a stall of the registry is ignored."""
    since = f"the registry has been receiving heartbeats for only {duration(hearing_for)}"
    return f"reattach_window: {since}; earlier evidence is ignored for {window:g} s"


def rule_heard_in_time(interval: float, misses: int, tolerance: float) -> str:
    """Alive."""
    limit = f"{_counted(misses, 'missed heartbeat')} (plus {tolerance:g} s)"
    return f"heard_in_time: a heartbeat is due every {interval:g} s; it becomes suspect after {limit}"


def rule_stall_after(seconds: float) -> str:
    """Stalled."""
    limit = f"the activity counter is allowed to stay unchanged for at most {seconds:g} s"
    return f"stall_after: {limit}; a service that sends heartbeats is never declared down for it"


def rule_stream_broke(grace: float, sooner: float | None) -> str:
    """Suspect by a broken stream. `sooner`: the silence that makes it down, if that counts too."""
    rule = f"stream_broke: a broken stream makes it suspect at once, and down after reconnect_grace ({grace:g} s)"
    return rule if sooner is None else f"{rule}, or {sooner:g} s after its last heartbeat if that is sooner"


def rule_missed_beats(misses: int, interval: float, tolerance: float) -> str:
    """Suspect or down by silence."""
    return f"missed_beats: {misses} x {interval:g} s + {tolerance:g} s without a heartbeat"


def rule_reconnect_grace(grace: float) -> str:
    """Down by a broken stream."""
    return f"reconnect_grace: it did not reconnect within {grace:g} s after its stream broke"


# --- explain: what happens next -------------------------------------------------------------------------------------

NEXT_MISSED_HEARTBEAT = "suspect (a heartbeat is missed)"
NEXT_STREAM_BROKEN = "suspect (its stream broke)"
NEXT_STALLED = "suspect (it makes no progress)"
NEXT_DOWN = "down"
NEXT_DEREGISTERED = "deregistered"
NEXT_ALIVE = "alive again"
NEXT_RESTORED = "alive again, with an alert that it is back"

# --- thresholds that are refused, or warned of at the start; each follows the name of the threshold -----------------

MISSES_OUT_OF_ORDER = "misses_before_warning <= misses_before_down <= misses_before_deregister must hold, above 0"
NO_TOLERANCE = "is 0, and so is tolerance_ratio: no heartbeat could ever be in time"


def time_out_of_range(seconds: float, longest: float) -> str:
    """A time."""
    return f"is {seconds:g} s; it must be from 0 to {longest:g} s"


def tolerance_ratio_out_of_range(ratio: float) -> str:
    """tolerance_ratio."""
    return f"is {ratio:g}; it must be between 0 and 10"


def guard_ratio_out_of_range(ratio: float) -> str:
    """guard_ratio."""
    return f"is {ratio:g}; it must be above 0 and at most 1 (1 turns the guard off)"


def count_too_small(count: int) -> str:
    """guard_min, flap_count."""
    return f"is {count}; it must be at least 2"


def too_few_misses_to_deregister(misses: int) -> str:
    """misses_before_deregister."""
    return f"is {misses}; a service must miss more than 3 heartbeats before it is deregistered"


def too_few_misses_to_be_down(misses: int) -> str:
    """misses_before_down."""
    return f"is {misses}; one late heartbeat must not make a service down"


def reattach_window_too_short(window: float, needed: float) -> str:
    """reattach_window."""
    return f"is {window:g} s; an agent may need {needed:g} s for one attempt to reconnect"


def reconnect_grace_too_short(grace: float, first_retry: float) -> str:
    """reconnect_grace."""
    return f"is {grace:g} s; an agent may take {first_retry:g} s before it tries again"


def guard_window_too_short(window: float, grace: float) -> str:
    """guard_window."""
    return f"is {window:g} s; it must be above reconnect_grace ({grace:g} s)"


def escalate_after_too_short(seconds: float) -> str:
    """escalate_after."""
    return f"is {seconds:g} s; a parent needs at least 1 s to acknowledge"


# --- other requests that are refused; each follows the name of a field ----------------------------------------------

CHANGES_NOTHING = "changes nothing: set or unset at least one field"
NOT_SAVED = "the policy could not be written to disk; nothing was changed"
NOT_PER_SERVICE = "it is about all services together, and cannot be set for one"
EMPTY = "must not be empty"


def not_a_threshold(name: str, known: Iterable[str]) -> str:
    """A name in `unset`."""
    return f"{name!r} is not a threshold; the thresholds are {', '.join(known)}"


def set_and_unset(name: str) -> str:
    """A name in `unset`."""
    return f"{name} is both set and unset"


def in_override(problem: object, service_id: str) -> str:
    """A threshold that contradicts another for one service."""
    return f"{problem} (for {service_id!r}, which has an override)"


def too_many_overrides(limit: int) -> str:
    """service_id."""
    return f"{limit} services have overrides; no more are allowed"


def limit_too_large(given: int, limit: int) -> str:
    """limit."""
    return f"is {given}; at most {limit} are allowed"


def not_a_service_id(longest: int) -> str:
    """service_id."""
    return f"must be printable, without blanks around it, and of at most {longest} characters"


def registry_away(code: str) -> str:
    """TRON cannot answer without the registry."""
    return f"the registry does not answer: {code}"


def ago(seconds: float) -> str:
    """A time in the past."""
    return f"{duration(seconds)} ago"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
