"""An alert is acknowledged only once the callback, whatever it is, has done what it began."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
from tron_client import Agent, Alert, Supervisor, WrongType
from tron_client.testing import FakeRegistry

Listener = Callable[[Alert], object]


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


class Ears:
    """Hears alerts in every way that a callback can be written; says where, and waits to be let go."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, object]] = []
        self.go = asyncio.Event()

    async def method(self, alert: Alert) -> None:
        """A bound coroutine method."""
        self.heard.append((alert.alert_id, asyncio.get_running_loop()))
        await self.go.wait()

    async def __call__(self, alert: Alert) -> None:
        """A callable object whose call is a coroutine."""
        await self.method(alert)

    async def with_more(self, _more: str, alert: Alert) -> None:
        """To be completed by partial."""
        await self.method(alert)

    def returns_a_coroutine(self, alert: Alert) -> Awaitable[None]:
        """A function that does not look like a coroutine function."""
        return self.method(alert)

    def returns_a_future(self, alert: Alert) -> Future[None]:
        """What programs write that know that callbacks run in threads."""
        (loop,) = {each for each in self.loops if isinstance(each, asyncio.AbstractEventLoop)}
        return asyncio.run_coroutine_threadsafe(self.method(alert), loop)

    loops: tuple[object, ...] = ()


WAYS: dict[str, Callable[[Ears], Listener]] = {
    "bound method": lambda ears: ears.method,
    "callable object": lambda ears: ears,
    "partial": lambda ears: partial(ears.with_more, "more"),
    "partial of an object": lambda ears: partial(ears),
    "async lambda": lambda ears: lambda alert: ears.method(alert),
    "function that returns a coroutine": lambda ears: ears.returns_a_coroutine,
    "function that returns a future": lambda ears: ears.returns_a_future,
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_coroutine_runs_in_the_loop_of_the_start_and_is_acknowledged_when_it_returned(
    fake: FakeRegistry, way: str
) -> None:
    ears = Ears()
    ears.loops = (asyncio.get_running_loop(),)
    async with Agent("boss", registry=fake.address, heartbeat_interval=0.1, on_alert=WAYS[way](ears)):
        alert_id = fake.alert("boss").alert_id
        await asyncio.to_thread(fake.wait_for, lambda: ears.heard)
        before = fake.beats("boss")
        await asyncio.to_thread(fake.wait_for, lambda: fake.beats("boss") > before + 1)
        assert fake.acknowledged == set()
        ears.go.set()
        await asyncio.to_thread(fake.wait_for, lambda: alert_id in fake.acknowledged)
    assert ears.heard == [(alert_id, asyncio.get_running_loop())]


def test_without_a_loop_a_coroutine_runs_in_one_of_its_own(fake: FakeRegistry) -> None:
    heard: list[str] = []

    async def listen(alert: Alert) -> None:
        await asyncio.sleep(0)
        heard.append(alert.alert_id)

    with Agent("boss", registry=fake.address, on_alert=listen):
        alert_id = fake.alert("boss").alert_id
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert heard == [alert_id]


def fails(_: Alert) -> None:
    raise RuntimeError("no")


def leaves(_: Alert) -> None:
    sys.exit(1)


async def fails_later(_: Alert) -> None:
    await asyncio.sleep(0)
    raise RuntimeError("no")


async def is_cancelled(_: Alert) -> None:
    raise asyncio.CancelledError


def generates(_: Alert) -> Iterator[None]:
    yield


async def generates_later(_: Alert) -> AsyncIterator[None]:
    yield


FAILING: list[Listener] = [fails, leaves, fails_later, is_cancelled, lambda alert: generates(alert)]


@pytest.mark.parametrize("broken", FAILING)
async def test_what_failed_is_logged_and_not_acknowledged_and_the_next_alert_is_heard(
    fake: FakeRegistry, broken: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    def listen(alert: Alert) -> object:
        heard.append(alert.alert_id)
        return broken(alert) if len(heard) == 1 else None

    async with Agent("boss", registry=fake.address, on_alert=listen):
        first, second = fake.alert("boss").alert_id, fake.alert("boss").alert_id
        await asyncio.to_thread(fake.wait_for, lambda: second in fake.acknowledged)
        assert first not in fake.acknowledged
    assert heard == [first, second]
    assert "alert_callback_failed" in caplog.text


async def test_the_other_callbacks_may_be_coroutine_functions_too(fake: FakeRegistry) -> None:
    heard: list[tuple[str, object]] = []

    async def declared_down(event: Any) -> None:
        heard.append((event.type, asyncio.get_running_loop()))

    async def superseded(incarnation: int) -> None:
        heard.append((f"by {incarnation}", asyncio.get_running_loop()))

    loop = asyncio.get_running_loop()
    async with Agent("a", registry=fake.address, on_superseded=superseded, on_declared_down=declared_down):
        fake.declare_down("a")
        await asyncio.to_thread(fake.wait_for, lambda: heard == [("service_down", loop)])
        winner = fake.supersede("a")
        await asyncio.to_thread(fake.wait_for, lambda: heard[1:] == [(f"by {winner}", loop)])


async def test_the_alerts_that_a_supervisor_passes_on_may_be_heard_by_a_coroutine(fake: FakeRegistry) -> None:
    heard: list[object] = []

    async def listen(_: Alert) -> None:
        heard.append(asyncio.get_running_loop())

    agent = Agent("boss", registry=fake.address)
    async with agent, Supervisor(agent, print, on_alert=listen):
        alert_id = fake.alert("boss", type="parent_down").alert_id
        await asyncio.to_thread(fake.wait_for, lambda: alert_id in fake.acknowledged)
    assert heard == [asyncio.get_running_loop()]


@pytest.mark.parametrize("how", ["in the loop", "in a thread"])
async def test_a_callback_may_end_its_own_agent_and_goes_on_to_its_end(fake: FakeRegistry, how: str) -> None:
    ended = asyncio.Event()

    async def listen(_: Alert) -> None:
        if how == "in the loop":
            agent.stop(timeout=5)
        else:
            await asyncio.to_thread(agent.stop, timeout=5)
        await asyncio.sleep(0)
        ended.set()

    agent = Agent("boss", registry=fake.address, on_alert=listen)
    agent.start()
    fake.alert("boss")
    await asyncio.wait_for(ended.wait(), 4)
    assert agent.state == "stopped"


async def test_a_coroutine_that_does_not_end_is_cancelled_when_the_agent_stops(fake: FakeRegistry) -> None:
    began, cancelled = threading.Event(), asyncio.Event()

    async def listen(_: Alert) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    agent = Agent("boss", registry=fake.address, on_alert=listen)
    agent.start()
    fake.alert("boss")
    await asyncio.to_thread(began.wait, 5)
    await asyncio.to_thread(agent.stop, timeout=0.1)
    await asyncio.wait_for(cancelled.wait(), 5)
    assert fake.acknowledged == set()


@pytest.mark.parametrize("field", ["on_alert", "on_superseded", "on_declared_down"])
@pytest.mark.parametrize(
    "wrong",
    [
        "print",
        generates,
        generates_later,
        partial(generates),
        lambda: None,
        lambda first, second: None,
        fails_later.__code__,
    ],
)
def test_what_cannot_be_called_back_is_refused_by_the_constructor(field: str, wrong: Any) -> None:
    with pytest.raises(WrongType, match=rf"^{field}: is .*; it must be "):
        Agent("boss", **{field: wrong})
    with pytest.raises(WrongType, match=r"^restart: is .*; it must be "):
        Supervisor(Agent("boss"), wrong)


@pytest.mark.parametrize("fine", [print, [].append, dict, lambda *_: None, lambda alert, more=1: None, partial(print)])
def test_what_can_be_called_with_one_argument_is_taken(fine: Any) -> None:
    Agent("boss", on_alert=fine, on_superseded=fine, on_declared_down=fine)
