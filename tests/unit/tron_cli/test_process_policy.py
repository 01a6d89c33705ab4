"""The decisions of the supervisor, without a process."""

from __future__ import annotations

import pytest
from tron_cli.process_policy import (
    ChildLife,
    GiveUp,
    RestartPolicy,
    Serving,
    StartAgain,
    describe_exit,
    ready_document,
)


def deaths(life: ChildLife, count: int, *, alive_for: float = 0.0, at: float = 0.0) -> list[StartAgain | GiveUp]:
    """Let a child start and die `count` times; return what was decided each time."""
    decisions = []
    for _ in range(count):
        life.started(at)
        at += alive_for
        decisions.append(life.died(at))
    return decisions


@pytest.fixture
def sound() -> ChildLife:
    """A child that has served before."""
    life = ChildLife()
    life.served()
    return life


def test_the_first_restart_is_almost_immediate_and_each_next_one_waits_twice_as_long(sound: ChildLife) -> None:
    assert deaths(sound, 4) == [StartAgain(0.1), StartAgain(0.2), StartAgain(0.4), StartAgain(0.8)]


def test_the_delay_is_bounded_however_often_it_dies(sound: ChildLife) -> None:
    assert deaths(sound, 5000)[-1] == StartAgain(5.0)


def test_a_child_that_lived_ten_seconds_starts_from_the_first_delay(sound: ChildLife) -> None:
    deaths(sound, 6)
    assert deaths(sound, 2, alive_for=10.0) == [StartAgain(0.1), StartAgain(0.1)]


def test_a_child_that_lived_almost_two_seconds_keeps_its_backoff(sound: ChildLife) -> None:
    assert deaths(sound, 2, alive_for=1.9) == [StartAgain(0.1), StartAgain(0.2)]


def test_a_child_that_never_served_is_given_up_at_the_third_death() -> None:
    assert deaths(ChildLife(), 3) == [StartAgain(0.1), StartAgain(0.2), GiveUp(3)]


@pytest.mark.parametrize("code", [1, 2])
def test_a_child_that_says_why_it_can_not_start_is_not_asked_again(code: int) -> None:
    life = ChildLife()
    life.started(0.0)
    assert life.died(0.1, code) == GiveUp(1)


def test_a_child_that_served_is_started_again_whatever_its_code(sound: ChildLife) -> None:
    sound.started(0.0)
    assert sound.died(0.1, 1) == StartAgain(0.1)


def test_a_child_that_served_once_is_never_given_up(sound: ChildLife) -> None:
    assert GiveUp not in {type(decision) for decision in deaths(sound, 100)}


def test_the_policy_is_what_decides() -> None:
    policy = RestartPolicy(first_delay=1.0, longest_delay=1.5, sound_after=1.0, attempts_to_serve=4)
    assert deaths(ChildLife(policy), 4) == [StartAgain(1.0), StartAgain(1.5), StartAgain(1.5), GiveUp(4)]


def test_the_ready_document_has_every_address_and_the_pids_by_name() -> None:
    serving = (
        Serving("registry", "registry_grpc", "127.0.0.1:6122", 11),
        Serving("monitor", "tron_grpc", "127.0.0.1:6123", 12),
    )
    assert ready_document(serving) == {
        "registry_grpc": "127.0.0.1:6122",
        "tron_grpc": "127.0.0.1:6123",
        "pids": {"registry": 11, "monitor": 12},
    }


def test_an_exit_is_described_in_words() -> None:
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-9) == "was ended by signal 9"
