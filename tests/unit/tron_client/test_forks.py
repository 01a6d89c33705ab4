"""What is left of the SDK's objects in a forked child: nothing hangs there, and the parent is not disturbed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tron_client import Agent, forks
from tron_client.connection import InheritedStream, answers
from tron_client.testing import FakeRegistry

from tests.support.forking import STORIES

ABORTED = "Check failed: next_worker->state == KICKED"
"""What gRPC says when it aborts a forked child: now and then it forks while its own threads are at work, and prepares
nothing for the child. The SDK cannot prevent that."""

ATTEMPTS = 3


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def tell(story: str, fake: FakeRegistry) -> None:
    """Have a program fork, again and again."""
    support = {"GRPC_ENABLE_FORK_SUPPORT": "0"} if story == "without_fork_support" else {}
    for _ in range(ATTEMPTS):
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.forking", story, fake.address],
            env={**os.environ, **support},
            check=False,
            timeout=90,
            capture_output=True,
            text=True,
        )
        if ABORTED not in done.stderr:
            break
    assert (done.returncode, done.stdout.strip()) == (0, "well"), done.stdout + done.stderr


@pytest.mark.parametrize("story", sorted({*STORIES} - {"multiprocessing_child", "pool_of_processes"}))
def test_a_forked_child_ends_in_good_order_and_its_parent_goes_on(fake: FakeRegistry, story: str) -> None:
    with Agent("other", registry=fake.address, heartbeat_interval=0.5):
        tell(story, fake)
        fake.wait_for(lambda: "parent" not in fake.services or story == "made_before")


@pytest.mark.parametrize("story", ["multiprocessing_child", "pool_of_processes", "an_agent_of_its_own"])
def test_an_agent_that_a_forked_child_started_says_goodbye(fake: FakeRegistry, story: str) -> None:
    broken: list[str] = []
    closed = fake._closed  # noqa: SLF001

    def watch(stream: object) -> None:
        closed(stream)  # type: ignore[arg-type]
        broken.extend(name for name, each in fake.services.items() if not each.connected)

    fake._closed = watch  # type: ignore[method-assign]  # noqa: SLF001
    tell(story, fake)
    fake.wait_for(lambda: fake.services == {})
    children = {name for name in fake.goodbyes if name.startswith("child-")}
    assert len(children) >= 3
    assert broken == [], "a stream ended without a goodbye, as in a crash"


def test_two_copies_of_an_agent_that_was_made_before_the_fork_are_two_incarnations(fake: FakeRegistry) -> None:
    tell("made_before", fake)
    with Agent("parent", registry=fake.address) as next_one:
        # Two for each fork: had the copies passed for one registration there would be one.
        assert next_one.incarnation == 2 * 6 + 1


def test_a_stream_of_the_parent_is_left_alone_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        cancelled = 0

        def __init__(self) -> None:
            self.left = iter("abc")

        def __next__(self) -> str:
            return next(self.left)

        def cancel(self) -> None:
            self.cancelled += 1

    stream = Stream()
    assert list(answers(stream)) == ["a", "b", "c"]
    assert stream.cancelled == 1
    stream = Stream()
    begun = answers(stream)
    assert next(begun) == "a"
    monkeypatch.setattr(forks, "depth", lambda: 1)
    with pytest.raises(InheritedStream):
        next(begun)
    assert next(stream.left) == "b", "it was asked for more"
    assert stream.cancelled == 0
