"""A sink that hangs, refuses or loses its connection: nobody waits for it, and it hears everything once it heals."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from grid_model.event import Severity
from structlog.testing import capture_logs

from grid_hosting.sinks.dispatcher import Dispatcher
from grid_hosting.sinks.journal import FILE, Journal
from grid_hosting.sinks.retry import Retry
from tests.sinks.rig import ids, make_dispatcher, running, settings
from tests.support.http_receiver import Receiver, start_receiver
from tests.support.notices import make_notice
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
NAMES = [f"alert-{number}" for number in range(20)]

SICKNESSES: dict[str, Callable[[Receiver], None]] = {
    "it hangs": Receiver.hang,
    "it answers 500": lambda receiver: receiver.answer(500, body=b"out of order"),
    "it answers 429": lambda receiver: receiver.answer(429, {"retry-after": "0"}),
    "it is behind a login page": lambda receiver: receiver.answer(302, {"location": "/login"}),
    "its token expired": lambda receiver: receiver.answer(401),
    "it loses each request": Receiver.cut_requests,
}


@pytest.mark.parametrize("sickness", SICKNESSES)
async def test_a_sick_sink_delays_nobody_and_hears_everything_in_order_once_it_heals(
    sickness: str, tmp_path: Path
) -> None:
    with start_receiver() as sick, start_receiver() as well:
        SICKNESSES[sickness](sick)
        patience = {"timeout": 1.0} if sickness == "it hangs" else {}
        async with running(make_dispatcher(tmp_path, sick, well, **patience)) as dispatcher:
            for name in NAMES:
                await dispatcher.submit(make_notice(name))
            await eventually(lambda: ids(well.taken) == NAMES, what="the other sink heard all of it")
            await eventually(lambda: dispatcher.stats()["webhook-0"].failed_attempts >= 2, what="it was tried again")
            assert sick.taken == []
            assert dispatcher.stats()["webhook-0"].queued == len(NAMES)
            sick.heal()
            await eventually(lambda: dispatcher.stats()["webhook-0"].queued == 0, what="it heard all of it")
            assert dispatcher.stats()["webhook-0"].delivered == len(NAMES)
            assert dispatcher.stats()["webhook-0"].last_error == ""
        assert ids(sick.taken) == NAMES
        assert ids(well.taken) == NAMES


async def test_a_sink_that_refuses_connections_hears_everything_once_it_listens(tmp_path: Path) -> None:
    with start_receiver(listening=False) as sick, start_receiver() as well:
        async with running(make_dispatcher(tmp_path, sick, well)) as dispatcher:
            for name in NAMES:
                await dispatcher.submit(make_notice(name))
            await eventually(lambda: ids(well.taken) == NAMES)
            await eventually(lambda: dispatcher.stats()["webhook-0"].failed_attempts >= 2)
            assert "ConnectError" in dispatcher.stats()["webhook-0"].last_error
            sick.listen()
            await eventually(lambda: ids(sick.taken) == NAMES)


async def test_an_answer_that_is_lost_midway_repeats_the_notice_with_the_same_id(tmp_path: Path) -> None:
    with start_receiver() as sick:
        sick.cut_answers()
        async with running(make_dispatcher(tmp_path, sick)) as dispatcher:
            for name in NAMES[:3]:
                await dispatcher.submit(make_notice(name))
            await eventually(lambda: len(sick.taken) >= 3)
            sick.heal()
            await eventually(lambda: dispatcher.stats()["webhook-0"].queued == 0)
        assert list(dict.fromkeys(ids(sick.taken))) == NAMES[:3]
        assert len(sick.taken) > 3
        assert {each.headers["webhook-id"] for each in sick.taken} == set(NAMES[:3])


async def test_submitting_does_not_wait_for_a_sink_that_holds_a_request(tmp_path: Path) -> None:
    with start_receiver() as sick:
        sick.hang()
        async with running(make_dispatcher(tmp_path, sick, timeout=300)) as dispatcher:
            await dispatcher.submit(make_notice("first"))
            await eventually(sick.hanging.is_set, what="a request is held")
            for name in NAMES:
                await dispatcher.submit(make_notice(name))
            # All were submitted while the one request was held: nothing else came, and nothing was answered.
            assert ids(sick.requests) == ["first"]
            stats = dispatcher.stats()["webhook-0"]
            assert (stats.queued, stats.delivered, stats.failed_attempts) == (len(NAMES) + 1, 0, 0)


async def test_a_pause_that_the_receiver_asks_for_is_kept(tmp_path: Path) -> None:
    with start_receiver() as busy, start_receiver() as failing:
        later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        busy.answer(503, {"retry-after": later})
        failing.answer(503)
        async with running(make_dispatcher(tmp_path, busy, failing)) as dispatcher:
            await dispatcher.submit(make_notice())
            await eventually(lambda: len(failing.requests) >= 20, what="who asks for nothing is tried again and again")
            assert len(busy.requests) == 1


async def test_what_is_refused_for_good_is_dropped_at_once_logged_in_full_and_counted(tmp_path: Path) -> None:
    with start_receiver() as picky, capture_logs() as logged:
        picky.answer(400, body=b"no such field:\n  colour")
        async with running(make_dispatcher(tmp_path, picky)) as dispatcher:
            await dispatcher.submit(make_notice("bad"))
            await eventually(lambda: dispatcher.stats()["webhook-0"].refused == 1)
            picky.heal()
            await dispatcher.submit(make_notice("good"))
            await eventually(lambda: dispatcher.stats()["webhook-0"].delivered == 1)
            stats = dispatcher.stats()["webhook-0"]
        assert (stats.queued, stats.delivered, stats.refused, stats.failed_attempts) == (0, 1, 1, 0)
        assert ids(picky.requests) == ["bad", "good"]
        (line,) = [line for line in logged if line["event"] == "notice_refused"]
        assert line["why"] == "HTTP 400 Bad Request: no such field: colour"
        assert json.loads(line["notice"])["alert_id"] == "bad"


async def test_a_notice_that_waits_is_not_queued_twice(tmp_path: Path) -> None:
    with start_receiver() as receiver, start_receiver() as other:
        receiver.answer(500)
        async with running(make_dispatcher(tmp_path, receiver, other)) as dispatcher:
            await dispatcher.submit(make_notice("a"))
            await eventually(lambda: dispatcher.stats()["webhook-1"].delivered == 1)
            await dispatcher.submit(make_notice("a"))
            assert dispatcher.stats()["webhook-0"].queued == 1
            # Who had it already hears it again, with the same id: a second submission wants to be sure.
            await eventually(lambda: ids(other.taken) == ["a", "a"])
            receiver.heal()
            await eventually(lambda: dispatcher.stats()["webhook-0"].queued == 0)
        assert ids(receiver.taken) == ["a"]


async def test_what_was_queued_goes_on_after_a_restart_in_its_order_and_only_once(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        receiver.answer(500)
        async with running(make_dispatcher(tmp_path, receiver)) as dispatcher:
            for name in NAMES[:10]:
                await dispatcher.submit(make_notice(name))
        receiver.heal()
        async with running(make_dispatcher(tmp_path, receiver)) as dispatcher:
            await dispatcher.submit(make_notice(NAMES[9]))
            for name in NAMES[10:]:
                await dispatcher.submit(make_notice(name))
            await eventually(lambda: dispatcher.stats()["webhook-0"].queued == 0)
        assert ids(receiver.taken) == NAMES
        async with running(make_dispatcher(tmp_path, receiver)) as dispatcher:
            assert dispatcher.stats()["webhook-0"].queued == 0
            await dispatcher.submit(make_notice("last"))
            await eventually(lambda: ids(receiver.taken) == [*NAMES, "last"])


def test_what_was_submitted_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    with start_receiver(listening=False) as receiver:
        config = settings(tmp_path, receiver)
        command = [sys.executable, "-m", "tests.sinks.submitter", str(tmp_path / "sinks"), config.model_dump_json()]
        promised: list[str] = []
        for life in range(3):
            with subprocess.Popen([*command, str(life)], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
                assert process.stdout is not None
                try:
                    promised += [process.stdout.readline().strip() for _ in range(50)]
                finally:
                    process.send_signal(signal.SIGKILL)
                promised += process.stdout.read().split()
        assert len(set(promised)) >= 150

        async def deliver() -> None:
            receiver.listen()
            async with running(make_dispatcher(tmp_path, receiver)) as dispatcher:
                await eventually(lambda: dispatcher.stats()["webhook-0"].queued == 0, timeout=60)

        asyncio.run(deliver())
        told = ids(receiver.taken)
        assert not set(promised) - set(told)
        assert len(told) == len(set(told))
        assert [name for name in told if name in set(promised)] == promised


async def test_a_full_queue_drops_the_least_important_logs_it_and_counts_it(tmp_path: Path) -> None:
    with start_receiver(listening=False) as receiver, capture_logs() as logged:
        async with running(make_dispatcher(tmp_path, receiver, queue_size=10)) as dispatcher:
            await dispatcher.submit(make_notice("in hand", severity=Severity.INFO))
            await eventually(lambda: dispatcher.stats()["webhook-0"].failed_attempts)
            for number in range(5):
                await dispatcher.submit(make_notice(f"warning-{number}", severity=Severity.WARNING))
                await dispatcher.submit(make_notice(f"info-{number}", severity=Severity.INFO))
            for number in range(6):
                await dispatcher.submit(make_notice(f"critical-{number}"))
            assert dispatcher.stats()["webhook-0"].queued == 10
            assert dispatcher.stats()["webhook-0"].dropped == 7
        dropped = [json.loads(line["notice"])["alert_id"] for line in logged if line["event"] == "notice_dropped"]
        assert dropped == ["info-0", "info-1", "info-2", "info-3", "info-4", "warning-0", "warning-1"]
        receiver.listen()
        async with running(make_dispatcher(tmp_path, receiver, queue_size=10)) as dispatcher:
            await eventually(lambda: dispatcher.stats()["webhook-0"].queued == 0)
        warnings = [f"warning-{number}" for number in (2, 3, 4)]
        assert ids(receiver.taken) == ["in hand", *warnings, *(f"critical-{number}" for number in range(6))]


async def test_a_notice_that_waited_too_long_is_given_up_and_those_behind_it_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_receiver(listening=False) as receiver, capture_logs() as logged:
        dispatcher = make_dispatcher(tmp_path, receiver, give_up_after=60)
        long_ago = datetime.now(UTC).timestamp() - 61
        with monkeypatch.context() as patched:
            patched.setattr("grid_hosting.sinks.dispatcher.time.time", lambda: long_ago)
            await dispatcher.submit(make_notice("old"))
        await dispatcher.submit(make_notice("new"))
        receiver.listen()
        async with running(dispatcher):
            await eventually(lambda: ids(receiver.taken) == ["new"])
            assert dispatcher.stats()["webhook-0"].dropped == 1
        assert [line["why"] for line in logged if line["event"] == "notice_dropped"] == ["it waited too long"]


async def test_a_sink_that_fails_is_logged_once_when_it_begins_and_once_when_it_ends(tmp_path: Path) -> None:
    with start_receiver() as receiver, capture_logs() as logged:
        receiver.answer(500)
        async with running(make_dispatcher(tmp_path, receiver)) as dispatcher:
            await dispatcher.submit(make_notice())
            await eventually(lambda: dispatcher.stats()["webhook-0"].failed_attempts >= 5)
            receiver.heal()
            await eventually(lambda: dispatcher.stats()["webhook-0"].delivered == 1)
        events = [line["event"] for line in logged if line["log_level"] != "debug"]
        assert events == ["operators_told", "sink_failing", "sink_recovered"]


async def test_a_damaged_queue_does_not_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "sinks").mkdir()
    (tmp_path / "sinks" / FILE).write_bytes(b"\xff" * 10_000)
    with start_receiver() as receiver:
        async with running(make_dispatcher(tmp_path, receiver)) as dispatcher:
            await dispatcher.submit(make_notice("a"))
            await eventually(lambda: ids(receiver.taken) == ["a"])


async def test_without_a_sink_there_is_the_log_and_no_file(tmp_path: Path) -> None:
    with capture_logs() as logged:
        async with running(make_dispatcher(tmp_path)) as dispatcher:
            await dispatcher.submit(make_notice())
            assert dispatcher.stats() == {}
    assert not (tmp_path / "sinks").exists()
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("operators_told", "critical")
    assert (line["alert_id"], line["service_id"], line["why"]) == ("alert-1", "worker-1", "parent down")


async def test_a_bug_in_one_sink_is_told_once_and_harms_no_other(tmp_path: Path) -> None:
    class Broken:
        name = "broken"

        async def deliver(self, notice: object) -> None:
            raise LookupError("a bug")

    with start_receiver() as receiver, capture_logs() as logged:
        built = make_dispatcher(tmp_path, receiver)
        await built.submit(make_notice("a"))
        async with running(built):
            await eventually(lambda: ids(receiver.taken) == ["a"])
        dispatcher = Dispatcher([Broken()], Journal(tmp_path / "other"), retry=Retry(longest_pause=0.01))
        async with running(dispatcher):
            await dispatcher.submit(make_notice("b"))
            await eventually(lambda: dispatcher.stats()["broken"].failed_attempts >= 3)
            assert dispatcher.stats()["broken"].last_error == "LookupError: a bug"
    assert [line["event"] for line in logged].count("sink_broken") == 1


def test_a_full_disk_is_told_to_the_caller_and_keeps_nothing_from_being_delivered(tmp_path: Path) -> None:
    with start_receiver() as receiver:
        config = settings(tmp_path, receiver)
        command = [sys.executable, "-m", "tests.sinks.full_disk", str(tmp_path / "sinks"), config.model_dump_json()]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
        assert done.stdout.split() == ["durable", *["not-durable"] * 2, "delivered", "durable-again"], done.stderr
        assert ids(receiver.taken) == ["before", "full-0", "full-1", "after"]
        assert done.stderr.count("operator_queue_not_durable") == 1
