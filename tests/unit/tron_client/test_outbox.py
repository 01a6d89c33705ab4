"""Patience, which a stream that waits for its connection does not use up, and when the first beat is due."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from grid.registry.v1 import heartbeat_pb2
from tron_client.channel import Trust
from tron_client.outbox import ANSWER_PATIENCE, Outbox


class Clock:
    """Stands for time.monotonic in the outbox."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tron_client.outbox.time.monotonic", clock)
    return clock


@pytest.fixture
def gave_up() -> threading.Event:
    return threading.Event()


@pytest.fixture
def outbox(gave_up: threading.Event) -> Outbox:
    return Outbox(1.0, lambda _: None, gave_up.set)


def pull(messages: Iterator[heartbeat_pb2.HeartbeatRequest]) -> threading.Thread:
    """Ask for the next message, as grpc does when the one before has left."""
    thread = threading.Thread(target=lambda: next(messages, None), daemon=True)
    thread.start()
    return thread


def test_a_registration_that_waited_for_its_connection_is_not_given_up_when_it_leaves(
    outbox: Outbox, clock: Clock, gave_up: threading.Event
) -> None:
    messages = outbox.open(heartbeat_pb2.Register())
    assert next(messages).HasField("register")
    clock.now += 10 * ANSWER_PATIENCE  # the registry was stopped all that time
    thread = pull(messages)
    assert not gave_up.wait(0.2)
    outbox.close()
    thread.join(5)


def test_a_registration_that_left_and_is_not_answered_is_given_up(
    outbox: Outbox, clock: Clock, gave_up: threading.Event
) -> None:
    messages = outbox.open(heartbeat_pb2.Register())
    next(messages)
    thread = pull(messages)
    assert not gave_up.wait(0.2)
    clock.now += ANSWER_PATIENCE
    outbox.acknowledge("wakes the scheduler")
    assert gave_up.wait(5)
    thread.join(5)


def test_patience_begins_again_where_this_process_was_stopped_meanwhile(
    outbox: Outbox, clock: Clock, gave_up: threading.Event
) -> None:
    messages = outbox.open(heartbeat_pb2.Register())
    next(messages)
    thread = pull(messages)
    assert not gave_up.wait(0.2)
    clock.now += 2 * ANSWER_PATIENCE  # the answer may be there, and was not read yet
    outbox.acknowledge("wakes the scheduler")
    assert not gave_up.wait(0.2)
    clock.now += ANSWER_PATIENCE
    outbox.acknowledge("wakes the scheduler")
    assert gave_up.wait(5)
    thread.join(5)


@pytest.mark.parametrize(("answered_after", "first_beat_in"), [(0.3, 0.7), (1.4, 0.0), (7.0, 0.0)])
def test_the_first_beat_is_due_one_interval_after_the_registration_however_late_the_answer(
    clock: Clock, gave_up: threading.Event, answered_after: float, first_beat_in: float
) -> None:
    """The registry counts our silence from when it answered, and the answer may have been long on its way."""
    beaten: list[float] = []
    beat = threading.Event()

    def compose(now: float) -> heartbeat_pb2.HeartbeatRequest:
        beaten.append(now)
        beat.set()
        return heartbeat_pb2.HeartbeatRequest(beats=heartbeat_pb2.Beats())

    outbox = Outbox(1.0, compose, gave_up.set)
    left_at = clock.now
    messages = outbox.open(heartbeat_pb2.Register())
    next(messages)
    thread = threading.Thread(target=lambda: list(messages), daemon=True)  # it has left when the next one is asked for
    thread.start()
    assert not gave_up.wait(0.2)
    clock.now += answered_after
    outbox.registered(beat_now=False)
    assert beat.wait(0.2) == (first_beat_in == 0.0)
    clock.now += first_beat_in
    outbox.acknowledge("wakes the scheduler")
    assert beat.wait(5)
    assert beaten == [left_at + max(1.0, answered_after)]
    outbox.close()
    thread.join(5)


def test_a_hundred_agents_that_give_up_one_connection_move_to_one_other() -> None:
    trust = Trust()
    for _ in range(100):
        trust.give_up(0)
    assert trust.generation == 1
    trust.give_up(0)  # somebody who was late
    assert trust.generation == 1
