"""Patience, which a stream that waits for its connection does not use up, and when the first beat is due."""

from __future__ import annotations

import pytest
from tron_client.channel import Trust
from tron_client.protocol.messages import AlertAck, Goodbye, Register
from tron_client.protocol.send_queue import ANSWER_PATIENCE, SendQueue

REGISTRATION = Register("declared", "a", 0, "word")


@pytest.fixture
def queue() -> SendQueue:
    queue = SendQueue(1.0)
    queue.start(REGISTRATION)
    return queue


def test_a_registration_that_waited_for_its_connection_is_not_given_up_when_it_leaves(queue: SendQueue) -> None:
    assert queue.next_message(1000.0) is REGISTRATION
    left_at = 1000.0 + 10 * ANSWER_PATIENCE  # the registry was stopped all that time
    assert not queue.unanswered(left_at - 0.1)
    assert queue.next_message(left_at) is None
    assert not queue.unanswered(left_at)
    assert queue.deadline(left_at) == left_at + ANSWER_PATIENCE


def test_a_registration_that_left_and_is_not_answered_is_given_up(queue: SendQueue) -> None:
    queue.next_message(1000.0)
    queue.next_message(1000.0)
    assert not queue.unanswered(999.9 + ANSWER_PATIENCE)
    assert queue.unanswered(1000.0 + ANSWER_PATIENCE)


def test_patience_begins_again_where_this_process_was_stopped_meanwhile(queue: SendQueue) -> None:
    queue.next_message(1000.0)
    queue.next_message(1000.0)
    awake_at = 1000.0 + 2 * ANSWER_PATIENCE  # the answer may be there, and was not read yet
    assert not queue.unanswered(awake_at)
    assert queue.deadline(awake_at) == awake_at + ANSWER_PATIENCE
    assert queue.unanswered(awake_at + ANSWER_PATIENCE)


@pytest.mark.parametrize(("answered_after", "first_beat_in"), [(0.3, 0.7), (1.4, 0.0), (7.0, 0.0)])
def test_the_first_beat_is_due_one_interval_after_the_registration_however_late_the_answer(
    queue: SendQueue, answered_after: float, first_beat_in: float
) -> None:
    """The registry counts our silence from when it answered, and the answer may have been long on its way."""
    queue.next_message(1000.0)
    queue.next_message(1000.0)
    answered_at = 1000.0 + answered_after
    queue.confirm(answered_at, beat_at_once=False)
    assert queue.beat_due(answered_at) == (first_beat_in == 0.0)
    due_at = 1000.0 + max(1.0, answered_after)
    assert queue.beat_due(due_at)
    queue.beat_taken(due_at)
    assert not queue.beat_due(due_at)


def test_an_announcement_on_the_same_stream_keeps_the_grid_of_beats_unless_they_are_paused(queue: SendQueue) -> None:
    queue.next_message(1000.0)
    queue.confirm(1000.1, beat_at_once=False)
    queue.announce(REGISTRATION, pause_beats=False)
    assert queue.next_message(1000.5) is REGISTRATION
    assert queue.deadline(1000.5) == 1001.0
    queue.announce(REGISTRATION, pause_beats=True)
    queue.next_message(1000.6)
    assert not queue.beat_due(1001.0)


def test_acknowledgements_wait_for_the_registration_and_go_before_the_goodbye(queue: SendQueue) -> None:
    queue.acknowledge("one")
    queue.acknowledge("two")
    queue.acknowledge("one")
    queue.next_message(0.0)
    assert queue.next_message(0.0) is None
    queue.confirm(0.1, beat_at_once=False)
    queue.say_goodbye(Goodbye("a", "done"))
    assert queue.deadline(0.1) == 0.1
    assert queue.next_message(0.1) == AlertAck(("one", "two"))
    assert queue.next_message(0.1) == Goodbye("a", "done")
    assert queue.goodbye_sent
    assert queue.next_message(5.0) is None
    assert not queue.beat_due(5.0)
    assert queue.deadline(5.0) is None


def test_a_registration_that_has_gone_out_cannot_be_withdrawn(queue: SendQueue) -> None:
    assert queue.withdraw()
    assert queue.next_message(0.0) is None
    queue.start(REGISTRATION)
    queue.next_message(0.0)
    assert not queue.withdraw()


def test_a_beat_at_once_waits_for_the_registration(queue: SendQueue) -> None:
    queue.beat_at_once()
    queue.next_message(0.0)
    assert not queue.beat_due(0.1)
    queue.confirm(0.2, beat_at_once=False)
    assert queue.deadline(0.2) == 0.2
    assert queue.beat_due(0.2)


def test_a_hundred_agents_that_give_up_one_connection_move_to_one_other() -> None:
    trust = Trust()
    for _ in range(100):
        trust.give_up(0)
    assert trust.generation == 1
    trust.give_up(0)  # somebody who was late
    assert trust.generation == 1
