"""The channels of Apprise, by its `json://` channel against a real receiver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from grid_model.event import Severity

from grid_hosting.sinks.apprise_sink import MISSING, SHOWN_DETAILS, AppriseSink, body_of, load_channel, title_of
from tests.sinks.rig import ids, make_dispatcher, running
from tests.support.http_receiver import Receiver, start_receiver
from tests.support.notices import make_notice
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


def channel(receiver: Receiver, token: str = "token") -> str:
    """The Apprise URL of this receiver."""
    return receiver.url.replace("http://", "json://").removesuffix("/hook") + f"/{token}"


async def test_a_notice_reaches_people_with_its_facts_and_its_id(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        async with running(make_dispatcher(tmp_path, apprise=[channel(receiver)])) as dispatcher:
            await dispatcher.submit(make_notice())
            await dispatcher.submit(make_notice("alert-2", severity=Severity.INFO, resolved=True))
            await eventually(lambda: len(receiver.taken) == 2)
    told, restored = (each.document for each in receiver.taken)
    assert (told["title"], told["type"]) == ("[CRITICAL] service_down Worker 1", "failure")
    assert told["message"].splitlines() == [
        "Worker 1 is down (SILENT)",
        "service: worker-1",
        "cause: SILENT",
        "for: director",
        "notified because: parent down",
        "at: 2023-11-14T22:13:20.250Z",
        'details: {"missed_beats": 2, "children": ["gr\\u00f6\\u00dfer", "b"]}',
        "alert: alert-1",
    ]
    assert (restored["title"], restored["type"]) == ("[RESOLVED] service_down Worker 1", "success")


async def test_a_channel_that_fails_or_hangs_delays_nobody_and_hears_everything_once_it_heals(tmp_path: Path) -> None:
    with start_receiver() as sick, start_receiver() as well:
        sick.hang()
        urls = {"apprise": [channel(sick) + "?rto=0.5"]}
        async with running(make_dispatcher(tmp_path, well, timeout=1, **urls)) as dispatcher:
            (name,) = dispatcher.stats().keys() - {"webhook-0"}
            for number in range(3):
                await dispatcher.submit(make_notice(f"alert-{number}"))
            await eventually(sick.hanging.is_set)
            await eventually(lambda: ids(well.taken) == ["alert-0", "alert-1", "alert-2"])
            await eventually(lambda: dispatcher.stats()[name].failed_attempts >= 1)
            sick.answer(500)
            await eventually(lambda: dispatcher.stats()[name].failed_attempts >= 3)
            assert "500" in dispatcher.stats()[name].last_error
            sick.heal()
            await eventually(lambda: dispatcher.stats()[name].queued == 0)
        last_lines = [each.document["message"].splitlines()[-1] for each in sick.taken]
        assert last_lines == ["alert: alert-0", "alert: alert-1", "alert: alert-2"]


async def test_while_an_attempt_hangs_no_other_is_started(tmp_path: Path) -> None:
    with start_receiver() as sick:
        sick.hang()
        # Apprise is patient, we are not: its thread continues after the attempt has timed out.
        async with running(make_dispatcher(tmp_path, apprise=[channel(sick) + "?rto=8"], timeout=0.2)) as dispatcher:
            (name,) = dispatcher.stats()
            await dispatcher.submit(make_notice())
            await eventually(lambda: dispatcher.stats()[name].failed_attempts >= 5)
            assert len(sick.requests) == 1
            assert dispatcher.stats()[name].last_error == "an earlier attempt has not ended yet"
            sick.heal()
            await eventually(lambda: dispatcher.stats()[name].delivered == 1)


def test_a_name_shows_no_token_and_is_the_same_at_every_start() -> None:
    names = {AppriseSink(f"json://localhost/{token}").name for token in ("s3cret", "s3cret", "other")}
    assert len(names) == 2
    assert all(name.startswith("apprise-json-") and "s3cret" not in name for name in names)


def test_the_end_of_the_program_does_not_wait_for_an_attempt_that_hangs() -> None:
    with start_receiver() as sick:
        sick.hang()
        script = (
            "import asyncio\n"
            "from grid_hosting.sinks.apprise_sink import AppriseSink\n"
            "from tests.support.notices import make_notice\n"
            "async def main():\n"
            f"    sink = AppriseSink('{channel(sick)}?rto=300')\n"
            "    await asyncio.wait_for(sink.deliver(make_notice()), 0.1)\n"
            "try: asyncio.run(main())\n"
            "except TimeoutError: print('gave up')\n"
        )
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=ROOT)
        assert done.stdout == "gave up\n"


def test_what_is_no_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="not a URL that Apprise supports"):
        load_channel("nonsense")


def test_a_title_is_one_line_and_long_details_are_cut() -> None:
    assert title_of(make_notice(service_name="two\nlines")) == "[CRITICAL] service_down two lines"
    assert title_of(make_notice(service_name="", service_id="")) == "[CRITICAL] service_down"
    (line,) = [
        each for each in body_of(make_notice(details={"x": "y" * 9000})).splitlines() if each.startswith("details")
    ]
    assert len(line) < SHOWN_DETAILS + 20


def test_without_the_library_the_setting_is_refused_with_what_to_install() -> None:
    script = (
        "import sys; sys.modules['apprise'] = None\n"
        "from grid_hosting.sinks.config import SinksConfig\n"
        "SinksConfig()\n"
        "try: SinksConfig(apprise=('json://localhost',))\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert MISSING in done.stdout
    assert "json://localhost" not in done.stdout.replace("input_value=('json://localhost',)", "")


def test_apprise_says_nothing_of_its_own_in_the_log() -> None:
    script = (
        "import logging; logging.basicConfig(level=logging.WARNING)\n"
        "from grid_hosting.sinks.apprise_sink import load_channel\n"
        "result = load_channel('json://127.0.0.1:1/').notify('x')\n"
        "print(bool(result), [entry.message for entry in result.logs()] != [])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False True\n", "")
