"""All sentences of TRON that people read: alerts, notices to operators, `tron explain`, refusals. Pure.

This module decides nothing. `{name}` is the name of a service, and durations are in seconds unless they are already
text.
"""

from __future__ import annotations

from collections.abc import Iterable

# --- alerts ---------------------------------------------------------------------------------------------------------

MISSED_HEARTBEAT = "{name} missed a heartbeat"
STREAM_LOST = "{name} lost its connection to the registry"
STALLED = "{name} is sending heartbeats but making no progress"
DOWN = "{name} is down ({cause})"
DEREGISTERED = "{name} was deregistered ({cause})"
RESTORED = "{name} is back"

ORPHAN_KEEP = "continue"
ORPHAN_STOP = "stop"
ORPHAN_ADOPT = "alerts about you go to {stands_in}"


def with_subtree(message: str, count: int) -> str:
    """Return the message of an alert about a failed parent that also lists failed services below it."""
    return f"{message}; {_counted(count, 'service')} below it failed too"


def flapping(message: str, count: int, window: float) -> str:
    """Return the message of the last alert about a flapping service: its further suspicions raise no alert."""
    return f"{message}, {count} times in {window:g} s; further suspicions raise no alert until the service is stable"


def cascade(count: int, live: int) -> str:
    """Return the message of the alert about a mass failure."""
    failed = f"{count} of {live} services failed at once"
    return f"{failed}; alerts about these services are held, and no service is deregistered for now"


def orphan(parent: str, cause: str, instruction: str) -> str:
    """Return the message to a child whose parent is down."""
    return f"your parent {parent} is down ({cause}); {instruction}"


# --- details of alerts: why one is held, and why one has another recipient ------------------------------------------

HELD_MAINTENANCE = "maintenance"
HELD_MASS_FAILURE = "mass failure"
HELD_FLAPPING = "flapping"
HELD_IN_CASCADE = "already listed in the alert about a mass failure"
HELD_UNREPORTED_FAILURE = "no recipient was notified of the failure"
TAKES_BACK = "this recipient was notified of the failure"
NO_OTHER_RECIPIENT = "no other recipient of the alert can be notified"


def not_acknowledged(seconds: float) -> str:
    """Return why an alert escalated: its recipient did not acknowledge it in time."""
    return f"the recipient did not acknowledge the alert within {seconds:g} s"


def not_registered(id_or_name: str) -> str:
    """Return why an alert escalated: its recipient is not registered."""
    return f"{id_or_name} is not registered"


def recipient_down(service_id: str) -> str:
    """Return why an alert escalated: its recipient is down."""
    return f"{service_id} is down"


# --- notices to operators about TRON itself -------------------------------------------------------------------------

REGISTRY_LOST = "the registry does not answer; liveness is not being evaluated until it does"
REGISTRY_BACK = "the registry answers again"
NEVER_REACHED = "no connection to the registry has succeeded yet"
STREAM_ENDED = "the stream to the registry ended"

# --- explain: the verdict -------------------------------------------------------------------------------------------

NOT_WATCHED = "TRON does not watch this service yet."

STREAM_OPEN = ", and the service's stream is open"
STREAM_BROKEN = ", but the service's stream broke, and TRON has not evaluated the break yet"
NO_STREAM = " (the service has no stream, so only missed heartbeats count)"
BEFORE_START = "before the registry started"
DOWN_BY_BREAK = "its stream broke and it did not reconnect"
DOWN_BY_SILENCE = "it stopped sending heartbeats"

NOTE_FLAPPING = "the service is flapping, so further suspicions raise no alert"
NOTE_MASS_FAILURE = "the service failed together with many others, so its alerts are held"
NOTE_GROUPED = "the alert about an ancestor of the service lists this failure"


def alive(name: str, silent: float) -> str:
    """Return the start of the sentence about a service that is alive."""
    return f"{name} is alive: last heartbeat {duration(silent)} ago"


def busy(seconds: float) -> str:
    """Return the end of the sentence about a service that declared itself busy. `seconds`: how much longer it is
    busy."""
    return f"; the service is busy for another {duration(seconds)}"


def suspect_broken(name: str, when: str) -> str:
    """Return the sentence about a service whose stream broke. `when`: the result of `ago`, or BEFORE_START."""
    return f"{name} is suspect: its stream broke {when} and it has not reconnected"


def suspect_silent(name: str, silent: float) -> str:
    """Return the sentence about a service that missed heartbeats."""
    return f"{name} is suspect: no heartbeat for {duration(silent)}"


def stalled(name: str, inactive: float) -> str:
    """Return the sentence about a service that sends heartbeats while its activity counter does not change."""
    return f"{name} is stalled: it is sending heartbeats but has made no progress for {duration(inactive)}"


def down(name: str, down_for: float, why: str, silent: float) -> str:
    """Return the sentence about a service that is down. `why`: DOWN_BY_BREAK or DOWN_BY_SILENCE."""
    return f"{name} has been down for {duration(down_for)}: {why}; last heartbeat {duration(silent)} ago"


def stream_ended_by_registry(reason: str) -> str:
    """Return the note about a service whose stream the registry closed, which is no evidence of a failure."""
    return f"the registry itself ended the service's stream ({reason}), so only missed heartbeats count"


def note_maintenance(reason: str) -> str:
    """Return the note about a service under maintenance."""
    return "alerts about the service are held for maintenance" + (f" ({reason})" if reason else "")


# --- explain: the rule that fired, after its name -------------------------------------------------------------------


def rule_reattach_window(hearing_for: float, window: float) -> str:
    """Return the rule that ignores evidence from before a start or a stall of the registry."""
    since = f"the registry has been receiving heartbeats for only {duration(hearing_for)}"
    return f"reattach_window: {since}; earlier evidence is ignored for {window:g} s"


def rule_heard_in_time(interval: float, misses: int, tolerance: float) -> str:
    """Return the rule for a service that is alive."""
    limit = f"{_counted(misses, 'missed heartbeat')} (plus {tolerance:g} s)"
    return f"heard_in_time: a heartbeat is due every {interval:g} s; the service becomes suspect after {limit}"


def rule_stall_after(seconds: float) -> str:
    """Return the rule for a service that is stalled."""
    limit = f"the activity counter may stay unchanged for at most {seconds:g} s"
    return f"stall_after: {limit}; a service that sends heartbeats is never declared down for a lack of progress"


def rule_stream_broke(grace: float, sooner: float | None) -> str:
    """Return the rule for a suspect whose stream broke. `sooner`: the seconds of silence after which the service is
    down even before `grace` is over; None if its silence does not count."""
    rule = f"stream_broke: a service is suspect once its stream breaks, and down after reconnect_grace ({grace:g} s)"
    return rule if sooner is None else f"{rule}, or {sooner:g} s after its last heartbeat if that is sooner"


def rule_missed_beats(misses: int, interval: float, tolerance: float) -> str:
    """Return the rule for a service that is suspect or down because of its silence."""
    return f"missed_beats: no heartbeat for {misses} x {interval:g} s + {tolerance:g} s"


def rule_reconnect_grace(grace: float) -> str:
    """Return the rule for a service that is down because its stream broke."""
    return f"reconnect_grace: the service did not reconnect within {grace:g} s after its stream broke"


# --- explain: the safety margin --------------------------------------------------------------------------------------

NO_GAPS = "No gap between two heartbeats on a stream has been observed yet, so the safety margin is not known."
NO_GAPS_WITHOUT_STREAM = "Gaps between heartbeats are observed on streams only, so the safety margin is not known."


def longest_gap(seconds: float, observed_for: float, used: float, down_after: float) -> str:
    """Return the sentence about the longest gap between two heartbeats, and its share of the allowed silence."""
    gap = f"The longest gap between two heartbeats was {seconds:.2f} s in {duration(observed_for)} of observation"
    return f"{gap}: {used:.0%} of the {down_after:g} s of silence after which the service is down."


def too_little_data(heartbeats: int, seconds: float) -> str:
    """Return the sentence that says why no timeout is suggested yet."""
    needed = f"{heartbeats} heartbeats ({duration(seconds)})"
    return f"This is too little data to suggest a timeout; a suggestion needs {needed}."


def timeout_suffices(seconds: float) -> str:
    """Return the sentence about a service whose thresholds allow the suggested silence."""
    return f"A timeout of at least {seconds:.2f} s, twice the longest gap, is suggested; the thresholds suffice."


def timeout_suggested(seconds: float, misses: int) -> str:
    """Return the sentence about a service whose thresholds do not allow the suggested silence."""
    suggestion = f"A timeout of at least {seconds:.2f} s, twice the longest gap, is suggested"
    return f"{suggestion}; to allow this timeout, set misses_before_down={misses}."


# --- explain: what happens next -------------------------------------------------------------------------------------

NEXT_MISSED_HEARTBEAT = "suspect (a heartbeat is missed)"
NEXT_STREAM_BROKEN = "suspect (its stream broke)"
NEXT_STALLED = "suspect (it makes no progress)"
NEXT_DOWN = "down"
NEXT_DEREGISTERED = "deregistered"
NEXT_ALIVE = "alive again"
NEXT_RESTORED = "alive again, and the alert heartbeat_restored is sent"

# --- thresholds that are refused, or warned of at the start; each follows the name of the threshold -----------------

MISSES_OUT_OF_ORDER = (
    "the values must satisfy 0 < misses_before_warning <= misses_before_down <= misses_before_deregister"
)
NO_TOLERANCE = "must not be 0 if tolerance_ratio is 0, because every heartbeat would be late"


def time_out_of_range(seconds: float, longest: float) -> str:
    """Return why a threshold that is a time is refused: it is out of range."""
    return f"{seconds:g} s is out of range; the value must be from 0 to {longest:g} s"


def tolerance_ratio_out_of_range(ratio: float) -> str:
    """Return why a `tolerance_ratio` is refused."""
    return f"{ratio:g} is out of range; the value must be between 0 and 10"


def guard_ratio_out_of_range(ratio: float) -> str:
    """Return why a `guard_ratio` is refused."""
    return f"{ratio:g} is out of range; the value must be above 0 and at most 1 (1 turns the guard off)"


def count_too_large(most: int) -> str:
    """Return why a threshold that is a count is refused: it is too large."""
    return f"the value must be at most {most}"


def count_too_small(count: int) -> str:
    """Return why a `guard_min` or `flap_count` is refused."""
    return f"{count} is too small; the value must be at least 2"


def too_few_misses_to_deregister(misses: int) -> str:
    """Return why a `misses_before_deregister` is refused."""
    return f"{misses} is too small; a service must miss at least 3 heartbeats before it is deregistered"


def too_few_misses_to_be_down(misses: int) -> str:
    """Return why a `misses_before_down` is refused."""
    return f"{misses} is too small; a service must not be declared down because of one late heartbeat"


def reattach_window_too_short(window: float, needed: float) -> str:
    """Return why a `reattach_window` is refused."""
    return f"{window:g} s is too short; an agent may need {needed:g} s for one attempt to reconnect"


def reconnect_grace_too_short(grace: float, first_retry: float) -> str:
    """Return why a `reconnect_grace` is refused."""
    return f"{grace:g} s is too short; an agent may wait {first_retry:g} s before it tries to reconnect"


def guard_window_too_short(window: float, grace: float) -> str:
    """Return why a `guard_window` is refused."""
    return f"{window:g} s is too short; the value must be above reconnect_grace ({grace:g} s)"


def escalate_after_too_short(seconds: float) -> str:
    """Return why an `escalate_after` is refused."""
    return f"{seconds:g} s is too short; a parent needs at least 1 s to acknowledge an alert"


# --- other requests that are refused; each follows the name of a field ----------------------------------------------

CHANGES_NOTHING = "the request changes nothing: set or unset at least one threshold"
NOT_SAVED = "the policy could not be written to disk; nothing was changed"
NOT_PER_SERVICE = "the threshold applies to all services together and cannot be set for one service"
EMPTY = "the value must not be empty"


def not_a_threshold(name: str, known: Iterable[str]) -> str:
    """Return why a name in `unset` is refused: no threshold has this name."""
    return f"{name!r} is not a threshold; the thresholds are {', '.join(known)}"


def set_and_unset(name: str) -> str:
    """Return why a name in `unset` is refused: the same request sets the threshold."""
    return f"the request both sets and unsets the threshold {name}"


def in_override(problem: object, service_id: str) -> str:
    """Return why a threshold is refused: it contradicts the override of one service."""
    return f"{problem} (for {service_id!r}, which has an override)"


def too_many_overrides(limit: int) -> str:
    """Return why an override is refused: too many services have overrides."""
    return f"{limit} services have overrides, and no more are allowed"


def limit_too_large(given: int, limit: int) -> str:
    """Return why a `limit` is refused."""
    return f"{given} is too large; the largest allowed value is {limit}"


def not_a_service_id(longest: int) -> str:
    """Return why a `service_id` is refused."""
    return f"a service id must have at most {longest} printable characters, and no blanks at its beginning or end"


def no_grant(caller: str, role: str, service_id: str) -> str:
    """Return why a call is refused: the caller has no grant of this role for the service (an empty id: for all)."""
    return f"{caller} has no {role} grant for {repr(service_id) if service_id else 'all services'}"


def registry_away(code: str) -> str:
    """Return why TRON cannot answer a request: the registry does not answer."""
    return f"the registry does not answer: {code}"


def ago(seconds: float) -> str:
    """Return a time in the past as text."""
    return f"{duration(seconds)} ago"


def duration(seconds: float) -> str:
    """Return a duration as text in seconds, minutes or hours."""
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
