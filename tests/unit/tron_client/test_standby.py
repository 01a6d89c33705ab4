"""Several agents with one id on one machine: one holds it, the others wait. Processes: e2e."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tron_client import Agent, InvalidRequest, start_registry_heartbeat, stop_registry_heartbeat
from tron_client.id_lock import IdLock, LockUnavailable, runtime_directory
from tron_client.testing import FakeRegistry

from tests.support.waiting import wait_until


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with FakeRegistry() as registry:
        yield registry


def standing_by(fake: FakeRegistry, number: int) -> list[Agent]:
    """So many agents with one id, the first of which holds it."""
    agents = [Agent("a", registry=fake.address, heartbeat_interval=0.1, standby=True) for _ in range(number)]
    for each in agents:
        each.start()
    assert [each.state for each in agents] == ["connected", *["standby"] * (number - 1)]
    return agents


def broken(fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What looks like a crash from now on: a service that is registered, and carried by no stream."""
    found: list[str] = []
    closed = fake._closed  # noqa: SLF001

    def watch(stream: object) -> None:
        closed(stream)  # type: ignore[arg-type]
        found.extend(name for name, each in fake.services.items() if not each.connected)

    monkeypatch.setattr(fake, "_closed", watch)
    return found


def test_one_is_registered_and_the_others_send_nothing(fake: FakeRegistry) -> None:
    agents = standing_by(fake, 3)
    assert fake.services["a"].incarnation == 1
    assert not agents[1].healthy
    for each in reversed(agents):
        each.stop()
        assert each.state == "stopped"
    assert fake.goodbyes == {"a": ""}


def test_who_leaves_is_replaced_without_a_goodbye_and_the_last_one_says_it(
    fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    crashes = broken(fake, monkeypatch)
    agents = [
        Agent("a", registry=fake.address, heartbeat_interval=0.1, standby=True, on_superseded=told.append)
        for _ in range(3)
    ]
    for each in agents:
        each.start()
    for left in (2, 1):
        holder = next(each for each in agents if each.state == "connected")
        holder.stop("leaves", timeout=5)
        assert holder.state == "stopped"
        assert fake.services["a"].connected
        assert fake.goodbyes == {}
        agents.remove(holder)
        expected = ["connected", *["standby"] * (left - 1)]
        wait_until(lambda expected=expected: sorted(each.state for each in agents) == expected)  # type: ignore[misc]
    agents[0].stop("the last")
    assert fake.goodbyes == {"a": "the last"}
    assert (crashes, told) == ([], [])


def test_when_all_leave_at_once_the_service_is_gone_and_nothing_looked_like_a_crash(
    fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes = broken(fake, monkeypatch)
    for _ in range(5):
        fake.goodbyes.clear()
        agents = [Agent("a", registry=fake.address, heartbeat_interval=0.1, standby=True) for _ in range(4)]
        for each in agents:
            each.start()
        leaving = [threading.Thread(target=each.stop, kwargs={"timeout": 5.0}) for each in agents]
        for thread in leaving:
            thread.start()
        for thread in leaving:
            thread.join()
        fake.wait_for(lambda: fake.services == {})
        assert set(fake.goodbyes) == {"a"}
        assert crashes == []


def test_who_dies_is_replaced_at_once(fake: FakeRegistry) -> None:
    code = (
        f"import time; from tron_client import Agent; Agent('a', registry={fake.address!r}, standby=True).start();"
        " time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(runtime_directory().parent)}
    holder = subprocess.Popen([sys.executable, "-c", code], env=environment)
    try:
        fake.wait_for(lambda: "a" in fake.services, 20)
        with Agent("a", registry=fake.address, standby=True) as agent:
            assert agent.state == "standby"
            holder.send_signal(signal.SIGKILL)
            fake.wait_for(lambda: agent.state == "connected", 2)
    finally:
        holder.kill()
        holder.wait()


def test_who_is_superseded_from_elsewhere_takes_those_along_who_stand_by(fake: FakeRegistry) -> None:
    agents = standing_by(fake, 3)
    winner = fake.supersede("a")
    fake.wait_for(lambda: [each.state for each in agents] == ["superseded"] * 3)
    assert fake.services["a"].incarnation == winner
    with Agent("a", registry=fake.address, standby=True) as later:
        assert later.incarnation > winner
    for each in agents:
        each.stop()


def test_other_ids_and_other_registries_do_not_wait_for_one_another(fake: FakeRegistry) -> None:
    with (
        FakeRegistry() as other,
        Agent("a", registry=fake.address, standby=True) as first,
        Agent("b", registry=fake.address, standby=True) as second,
        Agent("a", registry=other.address, standby=True) as third,
    ):
        assert [each.state for each in (first, second, third)] == ["connected"] * 3


def test_one_that_was_abandoned_is_replaced(fake: FakeRegistry) -> None:
    first, second = standing_by(fake, 2)
    first.abandon()
    fake.wait_for(lambda: second.state == "connected", 2)
    second.stop()


async def test_a_second_start_of_the_drop_in_takes_over(fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRON_REGISTRY", fake.address)
    crashes = broken(fake, monkeypatch)
    for name in ("first", "second"):
        assert await start_registry_heartbeat("a", name, "agent", "production", "", [], heartbeat_interval_s=0.1)
    assert (fake.services["a"].name, crashes, fake.goodbyes) == ("second", [], {})
    await stop_registry_heartbeat()
    assert fake.services == {}


def test_an_id_is_needed_to_stand_by_for() -> None:
    with pytest.raises(InvalidRequest, match=r"^service_id: must not be empty"):
        Agent("", name="x", standby=True)


def test_without_a_lock_it_is_an_agent_as_any_other(fake: FakeRegistry, caplog: pytest.LogCaptureFixture) -> None:
    runtime_directory().chmod(0o755)
    with Agent("a", registry=fake.address, standby=True) as agent:
        assert agent.state == "connected"
    assert fake.goodbyes == {"a": ""}
    assert "standby_unavailable" in caplog.text


@pytest.mark.usefixtures("fake")
def test_a_directory_that_others_could_have_prepared_is_refused(tmp_path: Path) -> None:
    path = tmp_path / f"tron-{os.geteuid()}"
    assert runtime_directory() == path
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o770)
    with pytest.raises(LockUnavailable, match="its mode must be 0700"):
        runtime_directory()
    path.rmdir()
    path.symlink_to(tmp_path)
    with pytest.raises(LockUnavailable, match="is not a directory"):
        runtime_directory()
    path.unlink()
    path.write_text("")
    with pytest.raises(LockUnavailable, match="is not a directory"):
        runtime_directory()


@pytest.mark.usefixtures("fake")
def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock = IdLock("here", "a")
    assert lock.acquire()
    (file,) = runtime_directory().iterdir()
    lock.close()
    file.unlink()
    file.symlink_to(victim)
    with pytest.raises(LockUnavailable):
        lock.acquire()
    assert victim.read_text() == "precious"


@pytest.mark.usefixtures("fake")
def test_a_file_that_a_cleaner_removed_is_made_anew() -> None:
    one, other = IdLock("here", "a"), IdLock("here", "a")
    assert one.acquire()
    assert not other.acquire()
    other.wait_in_line()
    assert one.someone_waits()
    for each in runtime_directory().iterdir():
        each.unlink()
    assert other.acquire()
    one.close()
    other.close()


@pytest.mark.parametrize("inherited", [False, True])
def test_the_holder_lets_go_though_a_forked_child_still_has_the_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inherited: bool
) -> None:
    """The other way round nothing is let go: a child that closes what it inherited leaves the id to its parent."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lock = IdLock("here", "a")
    assert lock.acquire()
    in_child = os.dup(lock._id or 0)  # noqa: SLF001
    if inherited:
        monkeypatch.setattr(lock, "_owner", os.getppid())
    lock.close()
    assert IdLock("here", "a").acquire() is not inherited
    os.close(in_child)
