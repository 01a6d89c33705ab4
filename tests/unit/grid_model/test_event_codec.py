"""An event is encoded once for all who get it, and comes back as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grid.events.v1 import event_pb2
from grid_model import event_codec
from grid_model.errors import InvalidRequest
from grid_model.event import Event, Severity
from grid_model.liveness import LivenessCause


def test_an_event_is_encoded_once_and_never_taken_for_another() -> None:
    event = Event("note", sequence=7, message="first")
    assert event_codec.encode(event) is event_codec.encode(event)
    other = Event("note", sequence=7, message="of another registry")
    assert event_codec.encode(other).message == "of another registry"
    assert event_codec.encode(event).message == "first"
    unnumbered = Event("note")
    assert event_codec.encode(unnumbered) is not event_codec.encode(unnumbered)


def test_the_events_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_codec, "KEPT_EVENTS", 3)
    events = [Event("note", sequence=number) for number in range(100, 110)]
    first = event_codec.encode(events[0])
    for event in events:
        event_codec.encode(event)
    assert event_codec.encode(events[0]) is not first
    assert event_codec.encode(events[0]) == first


def test_the_messages_of_large_events_are_not_kept() -> None:
    large = Event("note", sequence=200, details={"a": [0] * 999})
    assert event_codec.encode(large) is not event_codec.encode(large)
    assert event_codec.encode(large) == event_codec.encode(large)


def test_an_event_comes_back_as_it_was_but_for_its_number() -> None:
    event = Event("service_down", 7, "id", 1.5, Severity.CRITICAL, "a", "A", "boss", LivenessCause.SILENT, 3, 0.25,
                  "marked_down", "is down", {"affected": ["b", "c"], "depth": 2, "ratio": 0.5})  # fmt: skip
    assert event_codec.decode(event_codec.encode(event), 9.0) == replace(event, sequence=0)


def test_what_an_event_leaves_out_is_filled_in_and_what_it_cannot_mean_is_refused() -> None:
    filled = event_codec.decode(event_pb2.Event(type="note"), 9.0)
    assert (filled.occurred_at, filled.severity, filled.last_seen_at) == (9.0, Severity.INFO, None)
    assert filled.alert_id
    with pytest.raises(InvalidRequest, match=r"^event\.severity: 77 is not known; use one of INFO, WARNING, CRITICAL$"):
        event_codec.decode(event_pb2.Event(severity=77), 9.0)  # type: ignore[arg-type]
