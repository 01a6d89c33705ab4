"""Checks requests. Each error contains the path of the refused field, as the client wrote it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from grid_model import event_details
from grid_model.declaration import Declaration
from grid_model.errors import FieldError, InvalidRequest
from grid_model.event import OPERATORS, Event

from registry_server.core.service import Report

MAX_SERVICE_ID = 512
MAX_NAME = 100
MAX_URL = 2048
MAX_CAPS = 64
MAX_CAP = 128
MAX_REFUSED = 64
MAX_CAPS_AS_SENT = 1000
MAX_MESSAGE = 1000
MAX_OBJECT_BYTES = 16 * 1024
MAX_OBJECT_DEPTH = 16
MAX_AHEAD = 86_400.0
"""Maximum number of seconds by which the times of a published event may be ahead of the registry's clock: room for any
time zone that a client confused, and for a clock that is wrong by hours."""
MAX_OBJECT_VALUES = 1000
"""Maximum number of values in a JSON object, counted at all levels: each value of an object and each element of a list.
A value takes up to a microsecond when it is converted to the wire, and one of a few bytes takes as long as a text."""
MAX_ALERT_VALUES = 2000
"""The same in the details of an alert of TRON, which lists up to 12,000 bytes of ids."""
MAX_COSTS = 32
MAX_ANCESTORS = 256
"""Maximum number of ancestors of a service when it registers. A service can have more if its ancestors register after
it; those beyond this number are no recipients of events that agents publish. It bounds the time of each walk up."""
MAX_INSTANCE_ID = 100

MIN_INTERVAL = 0.1
MAX_INTERVAL = 24 * 3600.0
MAX_TTL = 30 * 24 * 3600.0
MAX_GRACE = 3600.0


def check_text(path: str, value: str, at_least: int, at_most: int) -> list[FieldError]:
    """Check that a text has `at_least` to `at_most` characters, is printable, and does not begin or end with a blank.
    Return a list with the error, which is empty if the text is valid."""
    if len(value) < at_least:
        return [FieldError(path, "must not be empty")]
    if len(value) > at_most:
        return [FieldError(path, f"has {len(value)} characters; at most {at_most} are allowed")]
    if not value.isprintable():
        return [FieldError(path, "has a character that is not printable")]
    if value != value.strip():
        return [FieldError(path, "must not begin or end with a blank")]
    return []


def check_id(path: str, value: str) -> None:
    """Raise InvalidRequest if `value` cannot be the id of a service."""
    errors = check_text(path, value, 1, MAX_SERVICE_ID)
    if errors:
        raise InvalidRequest.of(*errors)


def check_spec(spec: Declaration, *, as_sent: bool = False) -> Declaration:
    """Return the declaration, with an empty `parent` filled from `labels.parent`. Raises InvalidRequest with all
    errors.

    `as_sent`: caps, ttl and ctx_limit are accepted as they were sent. They may have any value, within limits of size.
    """
    labelled = spec.labels.get("parent")
    if not spec.parent and isinstance(labelled, str) and labelled:
        spec = replace(spec, parent=labelled)
    errors = [
        *check_text("service.service_id", spec.service_id, 1, MAX_SERVICE_ID),
        *check_text("service.name", spec.name, 1, MAX_NAME),
        *check_text("service.url", spec.url, 0, MAX_URL),
        *check_text("service.parent", spec.parent, 0, MAX_SERVICE_ID),
        *(_check_caps_as_sent(spec.caps) if as_sent else _check_caps(spec.caps)),
        *check_object("service.labels", spec.labels),
        *_check_costs(spec.cost_hint),
        # A ttl that was not declared follows the interval, so it is looked at only where the interval is right.
        *(
            _check_interval("service.heartbeat_interval", spec.heartbeat_interval, MIN_INTERVAL, MAX_INTERVAL)
            or (not as_sent and _check_interval("service.ttl", spec.ttl, MIN_INTERVAL, MAX_TTL))
            or ()
        ),
    ]
    errors += _check_refused(spec.refused_children)
    if spec.reconnect_grace is not None:
        errors += _check_interval("service.reconnect_grace", spec.reconnect_grace, 0.0, MAX_GRACE)
    if spec.stall_after is not None:
        errors += _check_interval("service.stall_after", spec.stall_after, MIN_INTERVAL, MAX_INTERVAL)
    if spec.ctx_limit is not None and spec.ctx_limit < 0 and not as_sent:
        errors.append(FieldError("service.ctx_limit", "must not be negative"))
    if not errors and not as_sent and spec.ttl < spec.heartbeat_interval:
        errors.append(
            FieldError(
                "service.ttl",
                f"is {spec.ttl:g} s; it must be at least heartbeat_interval ({spec.heartbeat_interval:g} s)",
            )
        )
    if spec.service_id == OPERATORS:
        errors.append(FieldError("service.service_id", f"{OPERATORS!r} is reserved for alerts to the operators"))
    if spec.name == OPERATORS:
        errors.append(FieldError("service.name", f"{OPERATORS!r} is reserved for alerts to the operators"))
    if spec.parent and spec.parent == spec.service_id:
        errors.append(FieldError("service.parent", "a service cannot be its own parent"))
    if errors:
        raise InvalidRequest.of(*errors)
    return spec


def _check_refused(patterns: tuple[str, ...]) -> list[FieldError]:
    if len(patterns) > MAX_REFUSED:
        return [too_many_elements("service.refused_children", len(patterns), MAX_REFUSED)]
    errors: list[FieldError] = []
    for index, pattern in enumerate(patterns):
        path = f"service.refused_children[{index}]"
        errors += check_text(path, pattern, 1, MAX_SERVICE_ID + 1)
        if "*" in pattern[:-1]:
            errors.append(FieldError(path, "may contain only one *, at its end"))
    return errors


def check_report(report: Report, path: str = "beat", *, as_sent: bool = False) -> list[FieldError]:
    """Return the errors in the report of a heartbeat. `as_sent`: figures are accepted as the agent sent them, so
    p95_ms, load and queue_depth may be negative."""
    errors: list[FieldError] = []
    for name, number in (("p95_ms", report.p95_ms), ("load", report.load), ("queue_depth", report.queue_depth)):
        if number is not None and (not math.isfinite(number) or (number < 0 and not as_sent)):
            errors.append(FieldError(f"{path}.{name}", "must be a finite number that is not negative"))
    if report.progress is not None and not 0.0 <= report.progress <= 1.0:
        errors.append(FieldError(f"{path}.progress", "must be between 0 and 1"))
    if report.loop_lag is not None and report.loop_lag < 0:
        errors.append(FieldError(f"{path}.loop_lag", "must not be negative"))
    if len(report.message) > MAX_MESSAGE:
        errors.append(
            FieldError(f"{path}.message", f"has {len(report.message)} characters; at most {MAX_MESSAGE} are allowed")
        )
    return errors


def check_event(event: Event, most_details: int = MAX_OBJECT_BYTES, most_values: int = MAX_OBJECT_VALUES) -> None:
    """Raise InvalidRequest with all errors in an event. `most_details`: the maximum size of its details in bytes;
    `most_values`: the maximum number of values in them."""
    errors = _event_errors(event, most_details, most_values)
    if errors:
        raise InvalidRequest.of(*errors)


def check_published(event: Event, now: float) -> None:
    """Raise InvalidRequest with all errors in an event that a client publishes. `now` is in seconds since the epoch.

    The details of an alert must not contain keys of TRON's own alerts with values of another shape, because TRON and
    the programs of recipients act on these values. An event without a recipient may have any details: it is only
    recorded, and the broadcasts of the legacy contract are such events.
    """
    errors = [
        *_event_errors(event, MAX_OBJECT_BYTES, MAX_OBJECT_VALUES),
        *_check_time("event.occurred_at", event.occurred_at, now),
        *([] if event.last_seen_at is None else _check_time("event.last_seen_at", event.last_seen_at, now)),
    ]
    if event.recipient:
        wrong = event_details.misshapen(event.details)
        errors += [FieldError(f"event.details.{key}", why) for key, why in wrong.items()]
    if errors:
        raise InvalidRequest.of(*errors)


def _check_time(path: str, at: float, now: float) -> list[FieldError]:
    """Check that a time, in seconds since the epoch, is not before 1970, and not far in the future."""
    if at < 0.0:
        return [FieldError(path, "is before 1970")]
    if at > now + MAX_AHEAD:
        return [FieldError(path, f"is more than {MAX_AHEAD / 3600:g} h in the future, by the registry's clock")]
    return []


def _event_errors(event: Event, most_details: int, most_values: int) -> list[FieldError]:
    errors = [
        *check_text("event.type", event.type, 1, MAX_NAME),
        *check_text("event.alert_id", event.alert_id, 0, MAX_NAME),
        *check_text("event.service_id", event.service_id, 0, MAX_SERVICE_ID),
        *check_text("event.service_name", event.service_name, 0, MAX_NAME),
        *check_text("event.recipient", event.recipient, 0, MAX_SERVICE_ID),
        *check_text("event.action", event.action, 0, MAX_NAME),
        *check_object("event.details", event.details, most_details, most_values),
    ]
    if len(event.message) > MAX_MESSAGE:
        errors.append(
            FieldError("event.message", f"has {len(event.message)} characters; at most {MAX_MESSAGE} are allowed")
        )
    return errors


def check_object(
    path: str, value: dict[str, Any], most: int = MAX_OBJECT_BYTES, most_values: int = MAX_OBJECT_VALUES
) -> list[FieldError]:
    """Check that a JSON object is not larger than `most` bytes or too deep, has at most `most_values` values, and
    contains only finite numbers. Its size is the number of bytes of all its keys and values as text. Return a list with
    the error, which is empty if the object is valid."""
    size = count = 0
    todo: list[tuple[Any, int]] = [(value, 1)]
    while todo:
        node, depth = todo.pop()
        if depth > MAX_OBJECT_DEPTH:
            return [FieldError(path, f"is nested deeper than {MAX_OBJECT_DEPTH} levels")]
        if isinstance(node, dict | list):
            count += len(node)
            if count > most_values:
                return [FieldError(path, too_many_values(most_values))]
        if isinstance(node, dict):
            size += sum(len(str(key).encode("utf-8", "replace")) + 4 for key in node)
            todo.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            size += 2 * len(node)
            todo.extend((child, depth + 1) for child in node)
        else:
            if isinstance(node, float) and not math.isfinite(node):
                return [FieldError(path, "contains a number that is not finite")]
            size += len(str(node).encode("utf-8", "replace"))
        if size > most:
            return [FieldError(path, f"is larger than {most} bytes")]
    return []


def count_values(value: Any) -> int:
    """Return the number of values in a JSON value, at all levels."""
    count, todo = 0, [value]
    while todo:
        node = todo.pop()
        if isinstance(node, dict | list):
            count += len(node)
            todo.extend(node.values() if isinstance(node, dict) else node)
    return count


def too_many_elements(path: str, count: int, most: int) -> FieldError:
    """Return the error for a field with more than `most` elements."""
    return FieldError(path, f"has {count} elements; at most {most} are allowed")


def too_many_values(most: int) -> str:
    """Return the description of the error that a JSON object has more than `most` values."""
    return f"has more than {most} values, counted at all levels"


def _check_caps(caps: tuple[str, ...]) -> list[FieldError]:
    if len(caps) > MAX_CAPS:
        return [too_many_elements("service.caps", len(caps), MAX_CAPS)]
    return [error for index, cap in enumerate(caps) for error in check_text(f"service.caps[{index}]", cap, 1, MAX_CAP)]


def _check_caps_as_sent(caps: tuple[str, ...]) -> list[FieldError]:
    if len(caps) > MAX_CAPS_AS_SENT:
        return [too_many_elements("service.caps", len(caps), MAX_CAPS_AS_SENT)]
    if sum(len(cap.encode("utf-8", "replace")) + 2 for cap in caps) > MAX_OBJECT_BYTES:
        return [FieldError("service.caps", f"is larger than {MAX_OBJECT_BYTES} bytes")]
    return []


def _check_costs(costs: dict[str, float]) -> list[FieldError]:
    if len(costs) > MAX_COSTS:
        return [FieldError("service.cost_hint", f"has {len(costs)} entries; at most {MAX_COSTS} are allowed")]
    errors: list[FieldError] = []
    for unit, cost in costs.items():
        errors += check_text("service.cost_hint", unit, 1, MAX_NAME)
        if not math.isfinite(cost) or cost < 0:
            errors.append(FieldError(f"service.cost_hint[{unit!r}]", "must be a finite number that is not negative"))
    return errors


def _check_interval(path: str, seconds: float, at_least: float, at_most: float) -> list[FieldError]:
    if at_least <= seconds <= at_most:
        return []
    return [FieldError(path, f"is {seconds:g} s; it must be between {at_least:g} s and {at_most:g} s")]
