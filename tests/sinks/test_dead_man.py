"""A sign of life goes out while all is well, and only then."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from grid_hosting.sinks.build import build
from grid_hosting.sinks.config import SinksConfig
from grid_hosting.sinks.dispatcher import Dispatcher
from tests.sinks.rig import SOURCE, running
from tests.support.http_receiver import start_receiver
from tests.support.waiting import eventually


class Health:
    """What the program says of itself."""

    well: bool | None = True
    asked = 0

    def __call__(self) -> bool:
        """Whether it is well; raises LookupError if it does not know."""
        self.asked += 1
        if self.well is None:
            raise LookupError("a bug")
        return self.well


def make(folder: Path, url: str, health: Health, **fields: Any) -> Dispatcher:
    """A dispatcher with nothing but a sign of life, each second."""
    config = SinksConfig.model_validate({"dead_man": {"url": url, "every": 1, **fields}})
    return build(config, folder / "sinks", source=SOURCE, healthy=health)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is the shortest interval that the settings allow; the tests need no wait at all."""
    real = asyncio.sleep
    monkeypatch.setattr("grid_hosting.sinks.dead_man.asyncio.sleep", lambda _: real(0.01))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_signs_are_given_as_long_as_all_is_well(tmp_path: Path, method: str) -> None:
    with start_receiver() as receiver:
        async with running(make(tmp_path, receiver.url, Health(), method=method)):
            await eventually(lambda: len(receiver.taken) >= 3)
    assert {(each.method, each.path) for each in receiver.taken} == {(method, "/hook")}
    assert not (tmp_path / "sinks").exists()


@pytest.mark.parametrize("unwell", [False, None])
async def test_no_sign_is_given_while_it_is_not_well_or_can_not_say(tmp_path: Path, unwell: bool | None) -> None:
    health = Health()
    with start_receiver() as receiver, capture_logs() as logged:
        async with running(make(tmp_path, receiver.url, health)):
            await eventually(lambda: receiver.taken)
            health.well = unwell
            asked = health.asked
            await eventually(lambda: health.asked >= asked + 2)  # one sign may be on its way
            count, asked = len(receiver.requests), health.asked
            await eventually(lambda: health.asked >= asked + 5)
            assert len(receiver.requests) == count
            health.well = True
            await eventually(lambda: len(receiver.taken) > count + 1, what="a second sign: the first was noted")
    events = [line["event"] for line in logged]
    assert events == [*(["dead_man_broken"] if unwell is None else []), "dead_man_withheld", "dead_man_heard"]


async def test_a_watcher_that_fails_is_logged_once_for_each_change_and_asked_again(tmp_path: Path) -> None:
    with start_receiver() as receiver, capture_logs() as logged:
        receiver.answer(404)
        async with running(make(tmp_path, receiver.url, Health())):
            await eventually(lambda: len(receiver.requests) >= 3)
            receiver.hang()
            await eventually(receiver.hanging.is_set)
            receiver.heal()
            await eventually(lambda: len(receiver.taken) >= 2)
    assert [line["event"] for line in logged] == ["dead_man_not_heard", "dead_man_heard"]
    assert logged[0]["why"] == "HTTP 404 Not Found"
