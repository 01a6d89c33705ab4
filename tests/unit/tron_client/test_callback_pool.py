"""Few threads call back, each agent's calls in order, and one that does not return delays only its own lane."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from tron_client.callback_pool import CallbackPool, Lane

from tests.support.waiting import wait_until

WAIT = 5.0


def noting(heard: list[int], number: int) -> Callable[[Callable[[], None]], None]:
    """A job that notes its number."""

    def job(done: Callable[[], None]) -> None:
        heard.append(number)
        done()

    return job


def test_the_jobs_of_a_lane_run_in_order() -> None:
    heard: list[int] = []
    lane = Lane(CallbackPool(4))
    for number in range(200):
        lane.run(noting(heard, number))
    assert lane.wait_idle(WAIT)
    assert heard == list(range(200))


def test_a_job_ends_when_all_that_it_began_has_ended() -> None:
    heard: list[int] = []
    under_way: list[Callable[[], None]] = []
    lane = Lane(CallbackPool(4))
    lane.run(under_way.append)
    lane.run(noting(heard, 1))
    wait_until(lambda: under_way, WAIT)
    assert not lane.wait_idle(0.05)
    assert heard == []
    under_way[0]()
    assert lane.wait_idle(WAIT)
    assert heard == [1]


def test_what_waits_elsewhere_holds_no_thread() -> None:
    pool, heard, under_way = CallbackPool(1), list[int](), list[Callable[[], None]]()
    waiting = [Lane(pool) for _ in range(10)]
    for lane in waiting:
        lane.run(under_way.append)
    other = Lane(pool)
    other.run(noting(heard, 1))
    assert other.wait_idle(WAIT)
    assert len(under_way) == 10


def test_a_job_that_does_not_return_delays_only_its_own_lane() -> None:
    go, pool, heard = threading.Event(), CallbackPool(2), list[int]()
    hanging, other = Lane(pool), Lane(pool)

    def hang(done: Callable[[], None]) -> None:
        go.wait(30)
        done()

    hanging.run(hang)
    hanging.run(noting(heard, 1))
    for number in range(2, 50):
        other.run(noting(heard, number))
    assert other.wait_idle(WAIT)
    assert heard == list(range(2, 50))
    go.set()
    assert hanging.wait_idle(WAIT)
    assert heard[-1] == 1


def test_there_are_never_more_threads_than_allowed() -> None:
    go, running, most = threading.Event(), list[int](), list[int]()
    lock = threading.Lock()

    def job(done: Callable[[], None]) -> None:
        with lock:
            running.append(1)
            most.append(len(running))
        go.wait(30)
        with lock:
            running.pop()
        done()

    pool = CallbackPool(3)
    lanes = [Lane(pool) for _ in range(10)]
    for lane in lanes:
        lane.run(job)
    wait_until(lambda: len(running) == 3, WAIT)
    go.set()
    assert all(lane.wait_idle(WAIT) for lane in lanes)
    assert max(most) == 3


def test_idle_threads_end_and_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tron_client.callback_pool._IDLE", 0.05)
    lane, heard = Lane(CallbackPool(2)), list[int]()
    before = threading.active_count()
    lane.run(noting(heard, 1))
    wait_until(lambda: threading.active_count() <= before and heard, WAIT)
    lane.run(noting(heard, 2))
    assert lane.wait_idle(WAIT)
    assert heard == [1, 2]


def test_a_forked_child_begins_anew() -> None:
    go, pool, heard = threading.Event(), CallbackPool(1), list[int]()
    lane = Lane(pool)

    def hang(done: Callable[[], None]) -> None:
        go.wait(30)
        done()

    lane.run(hang)
    lane.run(noting(heard, 1))
    pool.after_fork()
    lane.after_fork()
    lane.run(noting(heard, 2))
    assert lane.wait_idle(WAIT)
    assert heard == [2]
    go.set()
