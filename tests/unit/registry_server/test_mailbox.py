"""Alerts wait until they are acknowledged, with a bounded number in flight, and memory is bounded."""

from __future__ import annotations

from grid_model.event import Severity
from hypothesis import given
from hypothesis import strategies as st

from registry_server.core.mailbox import Mailboxes
from tests.unit.registry_server.builders import make_copy


def fill(boxes: Mailboxes, count: int, recipient: str = "boss") -> None:
    """Alerts 0, 1, 2 ... for one recipient."""
    for n in range(count):
        boxes.put(make_copy(str(n), recipient=recipient))


def taken(boxes: Mailboxes, recipient: str = "boss") -> list[str]:
    """The ids that may be sent now."""
    return [event.alert_id for event in boxes.take(recipient)]


def test_alerts_are_sent_oldest_first_and_not_twice_on_one_connection() -> None:
    boxes = Mailboxes()
    fill(boxes, 3)
    assert taken(boxes) == ["0", "1", "2"]
    assert taken(boxes) == []


def test_a_full_window_waits_for_an_acknowledgement() -> None:
    boxes = Mailboxes(in_flight=2)
    fill(boxes, 4)
    assert taken(boxes) == ["0", "1"]
    assert boxes.acknowledge("1", "boss")
    assert taken(boxes) == ["2"]
    assert boxes.acknowledge("0", "boss")
    assert boxes.acknowledge("2", "boss")
    assert taken(boxes) == ["3"]


def test_what_is_not_acknowledged_is_sent_again_after_the_connection_was_lost() -> None:
    boxes = Mailboxes()
    fill(boxes, 3)
    taken(boxes)
    boxes.acknowledge("1", "boss")
    boxes.connection_lost("boss")
    assert taken(boxes) == ["0", "2"]


def test_an_acknowledged_alert_is_gone_and_a_second_acknowledgement_counts_nothing() -> None:
    boxes = Mailboxes()
    fill(boxes, 1)
    assert boxes.acknowledge("0", "boss")
    assert not boxes.acknowledge("0", "boss")
    assert not boxes.acknowledge("0", "nobody")
    assert taken(boxes) == []
    assert boxes.recipients("0") == set()


def test_recipients_have_windows_and_copies_of_their_own() -> None:
    boxes = Mailboxes(in_flight=1)
    for recipient in ("x", "y"):
        boxes.put(make_copy("same", recipient=recipient))
    assert boxes.recipients("same") == {"x", "y"}
    assert taken(boxes, "x") == taken(boxes, "y") == ["same"]
    boxes.acknowledge("same", "x")
    assert boxes.recipients("same") == {"y"}


def test_an_overflowing_box_no_longer_pushes_its_oldest_alert() -> None:
    boxes = Mailboxes(waiting=3)
    fill(boxes, 5)
    assert taken(boxes) == ["2", "3", "4"]
    assert boxes.recipients("0") == set()


def test_an_overflow_frees_the_place_in_flight() -> None:
    boxes = Mailboxes(waiting=2, in_flight=2)
    fill(boxes, 2)
    assert taken(boxes) == ["0", "1"]
    boxes.put(make_copy("2", recipient="boss"))
    assert taken(boxes) == ["2"]


def test_a_box_of_one_place_holds_the_newest_alert() -> None:
    boxes = Mailboxes(waiting=1)
    fill(boxes, 2)
    assert taken(boxes) == ["1"]


def test_the_same_alert_put_twice_pushes_nobody_out() -> None:
    boxes = Mailboxes(waiting=2)
    fill(boxes, 2)
    boxes.put(make_copy("1", recipient="boss"))
    assert taken(boxes) == ["0", "1"]


def test_a_copy_is_settled_once_and_waits_all_the_same() -> None:
    boxes = Mailboxes()
    fill(boxes, 2)
    settled = boxes.stop_escalation("0", "boss")
    assert settled is not None
    assert settled.escalated
    assert boxes.stop_escalation("0", "boss") is None
    assert [(copy.event.alert_id, copy.escalated) for copy in boxes.waiting_for("boss")] == [("0", True), ("1", False)]
    assert taken(boxes) == ["0", "1"]


def test_a_copy_that_does_not_wait_can_not_be_settled() -> None:
    boxes = Mailboxes()
    fill(boxes, 1)
    boxes.acknowledge("0", "boss")
    assert boxes.stop_escalation("0", "boss") is None
    assert boxes.stop_escalation("0", "nobody") is None


def test_all_that_waits_is_found_whoever_it_waits_for() -> None:
    boxes = Mailboxes()
    fill(boxes, 2)
    fill(boxes, 1, "other")
    assert {(copy.event.alert_id, copy.event.recipient) for copy in boxes.all_waiting()} == {
        ("0", "boss"),
        ("1", "boss"),
        ("0", "other"),
    }
    assert boxes.get("1", "other") is None
    assert boxes.waiting_for("nobody") == []


def test_the_copy_that_had_to_make_room_is_named() -> None:
    boxes = Mailboxes(waiting=1)
    assert boxes.put(make_copy("0", recipient="boss")) is None
    dropped = boxes.put(make_copy("1", recipient="boss"))
    assert dropped is not None
    assert dropped.event.alert_id == "0"


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "acknowledge", "stop", "forget"]),
        st.integers(0, 5),
        st.sampled_from(["boss", "other"]),
    ),
    max_size=40,
)


@given(ACTIONS)
def test_what_is_counted_as_unacknowledged_is_what_waits_and_the_oldest_of_it_is_known(
    actions: list[tuple[str, int, str]],
) -> None:
    boxes = Mailboxes(waiting=3)
    for at, (action, number, recipient) in enumerate(actions):
        severity = Severity.CRITICAL if number % 2 else Severity.WARNING
        if action == "put" and boxes.get(str(number), recipient) is None:
            boxes.put(make_copy(str(number), recipient=recipient, severity=severity, occurred_at=at, sequence=at))
        elif action == "acknowledge":
            boxes.acknowledge(str(number), recipient)
        elif action == "stop":
            boxes.stop_escalation(str(number), recipient)
        elif action == "forget":
            boxes.forget_before(at - 10)
    for severity in (Severity.WARNING, Severity.CRITICAL):
        waiting = [copy.event for copy in boxes.all_waiting() if copy.event.severity is severity]
        label = (severity.name.lower(),)
        assert boxes.unacknowledged.counts()[label] == len(waiting)
        oldest = min((event.occurred_at for event in waiting), default=100.0)
        assert boxes.unacknowledged.ages(100.0)[label] == 100.0 - oldest


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "put", "take", "acknowledge", "not_sent", "connection_lost", "stop"]),
            st.integers(0, 7),
        ),
        max_size=60,
    )
)
def test_what_is_sent_is_always_the_oldest_that_waits_and_is_not_in_flight(actions: list[tuple[str, int]]) -> None:
    boxes = Mailboxes(waiting=6, in_flight=3)
    in_flight: set[str] = set()
    for action, number in actions:
        alert_id = str(number)
        if action == "put" and boxes.get(alert_id, "boss") is None:
            boxes.put(make_copy(alert_id, recipient="boss"))
        elif action == "acknowledge":
            boxes.acknowledge(alert_id, "boss")
        elif action == "not_sent":
            boxes.not_sent(alert_id, "boss")
            in_flight.discard(alert_id)
        elif action == "connection_lost":
            boxes.connection_lost("boss")
            in_flight.clear()
        elif action == "stop":
            boxes.stop_escalation(alert_id, "boss")
        waiting = [copy.event.alert_id for copy in boxes.waiting_for("boss")]
        in_flight &= set(waiting)
        if action == "take":
            due = [each for each in waiting if each not in in_flight][: max(0, 3 - len(in_flight))]
            assert taken(boxes) == due
            in_flight.update(due)
