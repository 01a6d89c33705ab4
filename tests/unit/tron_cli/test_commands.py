"""The commands that talk to a registry, as processes, against one that answers from a script."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format
from grid.events.v1 import event_pb2, event_service_pb2
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2, service_pb2

from tests.support.canned_registry import Canned, canned_registry
from tests.support.commands import run_tron
from tests.support.waiting import wait_until

# Longer than any call takes, shorter than the limit of a test.
_PATIENCE = 60


@pytest.fixture
def registry() -> Iterator[Canned]:
    """A registry that answers from a script."""
    with canned_registry() as canned:
        yield canned


def tron(*arguments: str, at: Canned | str = "") -> subprocess.CompletedProcess[str]:
    """Run `tron` to its end."""
    address = at if isinstance(at, str) else at.address
    return run_tron(*arguments, env=os.environ | {"TRON_REGISTRY": address})


def service(service_id: str, **fields: object) -> service_pb2.Service:
    """Return a service as the registry would send it."""
    answer = service_pb2.Service(
        service_id=service_id,
        name=f"name of {service_id}",
        type=service_pb2.SERVICE_TYPE_AGENT,
        role=service_pb2.SERVICE_ROLE_PRODUCTION,
        status=service_pb2.SERVICE_STATUS_OK,
        liveness=liveness_pb2.LIVENESS_ALIVE,
    )
    answer.MergeFrom(service_pb2.Service(**fields))  # type: ignore[arg-type]
    return answer


def test_services_shows_who_is_how(registry: Canned) -> None:
    down = service("b [bold]", liveness=liveness_pb2.LIVENESS_DOWN, liveness_cause=liveness_pb2.LIVENESS_CAUSE_SILENT)
    registry.services = [service("a", parent="boss", load=0.5), down]
    done = tron("services", at=registry)
    assert done.returncode == 0, done.stderr
    _, first, second = done.stdout.splitlines()
    assert [word in first for word in ("● ALIVE", "name of a", "boss", "never", "0.50")] == [True] * 5
    assert [word in second for word in ("✖ DOWN", "b [bold]", "SILENT")] == [True] * 3


@pytest.mark.parametrize("hours", [-3, 0, 3])
def test_an_age_is_that_of_the_registry_whatever_our_own_clock_says(registry: Canned, hours: int) -> None:
    beaten = service("a")
    registry.observed_at = datetime.now(UTC) + timedelta(hours=hours)
    beaten.last_heartbeat_at.FromDatetime(registry.observed_at - timedelta(seconds=4))
    registry.services = [beaten]
    assert "4.0 s" in tron("services", at=registry).stdout
    document = json.loads(tron("services", "--json", at=registry).stdout)
    assert document["observed_at"] == registry.observed_at.isoformat().replace("+00:00", "Z")
    registry.last_check = registry.observed_at - timedelta(seconds=4)
    assert "(4.0 s ago)" in tron("stats", at=registry).stdout


def test_services_in_json_is_one_document_and_nothing_else(registry: Canned) -> None:
    registry.services = [service("a"), service("b")]
    document = json.loads(tron("services", "--json", at=registry).stdout)
    assert document["revision"] == 42
    assert [each["service_id"] for each in document["services"]] == ["a", "b"]


def test_services_passes_every_filter_on(registry: Canned) -> None:
    words = "--type tool --role canary --cap c --name n --status waiting_approval --liveness suspect --label k=v"
    assert tron("services", *words.split(), "--label", "n:=1", at=registry).returncode == 0
    (asked,) = registry.asked(registry_service_pb2.ListServicesRequest)
    assert (asked.type, asked.role) == (service_pb2.SERVICE_TYPE_TOOL, service_pb2.SERVICE_ROLE_CANARY)
    assert (asked.cap, asked.name) == ("c", "n")
    assert asked.status == service_pb2.SERVICE_STATUS_WAITING_APPROVAL
    assert asked.liveness == liveness_pb2.LIVENESS_SUSPECT
    assert dict(asked.label_selector) == {"k": "v", "n": 1}


def test_watch_shows_changes_as_they_come(registry: Canned) -> None:
    answer = registry_service_pb2.WatchServicesResponse
    registry.changes = [
        answer(revision=1, upserted=service("a")),
        answer(revision=1, snapshot_complete=registry_service_pb2.SnapshotComplete()),
        answer(revision=2, removed=registry_service_pb2.Removed(service_id="a")),
    ]
    lines = tron("watch", "--count", "3", at=registry).stdout.splitlines()
    assert "● ALIVE" in lines[0]
    assert "live changes follow" in lines[1]
    assert "REMOVED" in lines[2]


def test_watch_in_json_is_one_line_for_each_change(registry: Canned) -> None:
    registry.changes = [registry_service_pb2.WatchServicesResponse(revision=8, upserted=service("a"))]
    done = tron("watch", "--json", "--since", "7", "--count", "1", at=registry)
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["revision"], line["kind"], line["service_id"]) == (8, "upserted", "a")
    assert line["service"]["service_id"] == "a"
    (asked,) = registry.asked(registry_service_pb2.WatchServicesRequest)
    assert asked.start_revision == 7


@pytest.mark.parametrize("command", [["watch"], ["alerts", "--follow"]])
def test_ctrl_c_ends_a_stream_well(registry: Canned, command: list[str]) -> None:
    registry.changes = [registry_service_pb2.WatchServicesResponse(revision=8, upserted=service("a"))]
    registry.news = [event_pb2.Event(sequence=10, type="a")]
    process = subprocess.Popen(
        [sys.executable, "-m", "tron_cli", *command, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"TRON_REGISTRY": registry.address},
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=_PATIENCE)
    assert (process.returncode, errors) == (0, b"")


def test_a_reader_that_has_enough_ends_a_stream_well(registry: Canned) -> None:
    registry.news = [event_pb2.Event(sequence=10 + n, type="a", message="x" * 1000) for n in range(1000)]
    pipeline = f"{sys.executable} -m tron_cli alerts --follow --json | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipeline],
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
        env=os.environ | {"TRON_REGISTRY": registry.address},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["sequence"] == 10


def alert(sequence: int) -> event_pb2.Event:
    """Return an alert about `a` for `boss`."""
    return event_pb2.Event(
        sequence=sequence,
        alert_id=f"alert-{sequence}",
        type="service_down",
        severity=event_pb2.SEVERITY_CRITICAL,
        service_id="a",
        recipient="boss",
        cause=liveness_pb2.LIVENESS_CAUSE_SILENT,
        message="a is down",
    )


def test_alerts_shows_the_newest_that_match(registry: Canned) -> None:
    registry.events = [alert(8), alert(9)]
    words = "--recipient boss --service a --unacknowledged --limit 5"
    done = tron("alerts", *words.split(), at=registry)
    assert [word in done.stdout for word in ("CRITICAL", "service_down", "silent", "boss", "alert-9")] == [True] * 5
    (asked,) = registry.asked(event_service_pb2.ListEventsRequest)
    assert (asked.recipient, asked.service_id, asked.unacknowledged) == ("boss", "a", True)
    assert (asked.limit, asked.newest) == (5, True)


def test_alerts_in_json_is_one_document(registry: Canned) -> None:
    registry.events = [alert(9)]
    document = json.loads(tron("alerts", "--json", at=registry).stdout)
    assert [each["alert_id"] for each in document["events"]] == ["alert-9"]
    assert document["last_sequence"] == 9


def test_following_alerts_goes_on_where_the_page_ended(registry: Canned) -> None:
    registry.events, registry.news = [alert(9)], [alert(10)]
    done = tron("alerts", "--follow", "--json", "--count", "2", "--recipient", "boss", at=registry)
    assert [json.loads(line)["sequence"] for line in done.stdout.splitlines()] == [9, 10]
    (asked,) = registry.asked(event_service_pb2.SubscribeEventsRequest)
    assert (asked.after_sequence, asked.recipient) == (9, "boss")


def test_ack_acknowledges_one_copy(registry: Canned) -> None:
    done = tron("alerts", "ack", "alert-9", "--recipient", "boss", at=registry)
    assert (done.returncode, done.stdout) == (0, "Acknowledged 1 alert copy.\n")
    (asked,) = registry.asked(event_service_pb2.AcknowledgeEventRequest)
    assert (asked.alert_id, asked.recipient) == ("alert-9", "boss")


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("--all", (True, "", "")),
        ("--service a", (False, "a", "")),
        ("--recipient boss", (False, "", "boss")),
        ("--service a --recipient boss", (False, "a", "boss")),
    ],
)
def test_ack_acknowledges_all_that_match(registry: Canned, words: str, asked: tuple[bool, str, str]) -> None:
    done = tron("alerts", "ack", *words.split(), at=registry)
    assert (done.returncode, done.stdout) == (0, "Acknowledged 3 alert copies and 1 lost service.\n")
    (request,) = registry.asked(event_service_pb2.AcknowledgeEventsRequest)
    assert (request.all, request.service_id, request.recipient) == asked


@pytest.mark.parametrize("words", ["", "alert-9 --all", "alert-9 --service a", "--all --service a"])
def test_ack_wants_one_answer_to_what(registry: Canned, words: str) -> None:
    done = tron("alerts", "ack", *words.split(), at=registry)
    assert done.returncode == 2
    assert "ALERT_ID" in done.stderr
    assert registry.asked(event_service_pb2.AcknowledgeEventsRequest) == []


def test_alerts_says_which_wait(registry: Canned) -> None:
    registry.events = [alert(9)]
    assert " waits " in tron("alerts", at=registry).stdout
    assert json.loads(tron("alerts", "--json", at=registry).stdout)["events"][0]["waits"] is True


def test_alerts_says_that_nothing_waits_or_that_nothing_happened(registry: Canned) -> None:
    registry.events = []
    assert tron("alerts", "--unacknowledged", at=registry).stdout == "All alerts are acknowledged.\n"
    assert tron("alerts", at=registry).stdout == "There are no events yet.\n"
    assert tron("alerts", "--service", "a", at=registry).stdout == "No events match.\n"


def test_services_shows_who_is_gone(registry: Canned) -> None:
    gone = registry_service_pb2.GoneService(service_id="a", name="A", lost=True, cause=1, alert_id="x")  # type: ignore[arg-type]
    registry.gone = [gone, registry_service_pb2.GoneService(service_id="b", name="B", reason="goodbye")]
    lines = tron("services", "--gone", at=registry).stdout.splitlines()
    assert [word in lines[1] for word in ("lost", " a ", "disconnected", "no")] == [True] * 4
    assert [word in lines[2] for word in ("left", " b ", "goodbye")] == [True] * 3
    document = json.loads(tron("services", "--gone", "--json", at=registry).stdout)
    assert [(each["service_id"], each["lost"]) for each in document["services"]] == [("a", True), ("b", False)]
    registry.gone = []
    assert tron("services", "--gone", at=registry).stdout == "No service was removed recently.\n"
    assert tron("services", "--gone", "--cap", "x", at=registry).returncode == 2


def test_register_sends_what_it_was_told(registry: Canned) -> None:
    words = "--id a --name n --type model --role staging --cap x --cap y --label k=v --parent p --interval 2 --ttl 9"
    document = json.loads(tron("register", *words.split(), "--json", at=registry).stdout)
    assert (document["service_id"], document["incarnation"]) == ("a", 7)
    (asked,) = registry.asked(registry_service_pb2.RegisterRequest)
    sent = asked.service
    assert (sent.name, list(sent.caps), dict(sent.labels), sent.parent) == ("n", ["x", "y"], {"k": "v"}, "p")
    assert (sent.type, sent.role) == (service_pb2.SERVICE_TYPE_MODEL, service_pb2.SERVICE_ROLE_STAGING)
    assert (sent.heartbeat_interval.ToTimedelta().total_seconds(), sent.ttl.seconds) == (2.0, 9)


def test_deregister_removes_by_id(registry: Canned) -> None:
    assert tron("deregister", "a", "--reason", "done", at=registry).returncode == 0
    (asked,) = registry.asked(registry_service_pb2.DeregisterRequest)
    assert (asked.service_id, asked.reason) == ("a", "done")


def test_release_ends_the_ownership_of_an_id(registry: Canned) -> None:
    assert tron("release", "a", at=registry).stdout == "Released a, which belonged to group:team.\n"
    (asked,) = registry.asked(registry_service_pb2.ReleaseOwnerRequest)
    assert asked.service_id == "a"
    assert json.loads(tron("release", "a", "--json", at=registry).stdout) == {
        "service_id": "a",
        "released_from": "group:team",
    }


ASKING = [
    ["services"],
    ["watch"],
    ["alerts"],
    ["alerts", "--follow"],
    ["alerts", "ack", "x"],
    ["register", "--name", "n"],
    ["deregister", "a"],
    ["release", "a"],
]


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
def test_without_a_registry_it_says_in_one_line_what_to_do(command: list[str], flags: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens: refused at once, and nobody else can take it
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = tron(*command, *flags, "--registry", address)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"tron: no registry is running at {address}; start one with: tron up\n"


def test_a_refused_call_is_one_line(registry: Canned) -> None:
    registry.refusal = (grpc.StatusCode.NOT_FOUND, "no such\nservice")
    done = tron("deregister", "a", at=registry)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "no such service" in done.stderr


@pytest.mark.parametrize(
    "command", [["nonsense"], ["services", "--type", "robot"], ["register"], ["services", "--label", "x"], ["run"]]
)
def test_a_mistake_on_the_command_line_is_a_usage_error(command: list[str]) -> None:
    assert tron(*command).returncode == 2


def events_sent(registry: Canned) -> list[event_pb2.Event]:
    """Return what was published, oldest first."""
    return [each.event for each in registry.asked(event_service_pb2.PublishEventRequest)]


def heartbeats(registry: Canned, kind: str) -> list[heartbeat_pb2.HeartbeatRequest]:
    """Return the messages of one kind that came over heartbeat streams."""
    return [each for each in registry.asked(heartbeat_pb2.HeartbeatRequest) if each.WhichOneof("kind") == kind]


@pytest.mark.parametrize(
    ("script", "code", "signal_name", "severity"),
    [
        ("exit 0", 0, None, event_pb2.SEVERITY_INFO),
        ("exit 3", 3, None, event_pb2.SEVERITY_CRITICAL),
        ("kill -KILL $$", 137, "SIGKILL", event_pb2.SEVERITY_CRITICAL),
    ],
)
def test_run_tells_the_parent_how_it_ended_and_exits_alike(
    registry: Canned, script: str, code: int, signal_name: str | None, severity: int
) -> None:
    done = tron("run", "--id", "a", "--name", "n", "--parent", "boss", "--", "sh", "-c", script, at=registry)
    assert done.returncode == code, done.stderr
    (event,) = events_sent(registry)
    assert (event.type, event.severity, event.recipient) == ("process_exited", severity, "boss")
    assert (event.service_id, event.service_name) == ("a", "n")
    details = json_format.MessageToDict(event.details)
    assert details == {"exit_code": code, "signal": signal_name, "command": ["sh", "-c", script]}
    assert heartbeats(registry, "register")[0].register.service.parent == "boss"
    assert heartbeats(registry, "goodbye")[0].goodbye.service_id == "a"


def running(registry: Canned, script: str) -> subprocess.Popen[bytes]:
    """Start `tron run` in the background; returns once it is registered."""
    command = [sys.executable, "-m", "tron_cli", "run", "--id", "a", "--interval", "0.1", "--", "sh", "-c", script]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=os.environ | {"TRON_REGISTRY": registry.address},
        start_new_session=True,
    )
    wait_until(lambda: heartbeats(registry, "beats"), 20, "it beats")
    return process


@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "TERM"), (signal.SIGINT, "INT")])
def test_run_forwards_signals_and_the_program_decides(registry: Canned, number: int, name: str) -> None:
    script = f"trap 'echo heard; exit 5' {name}; echo ready; while :; do sleep 0.05; done"
    process = running(registry, f"exec bash -c {json.dumps(script)}")
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    rest, _ = process.communicate(timeout=_PATIENCE)
    assert (process.returncode, rest) == (5, b"heard\n")
    assert events_sent(registry)[0].details["exit_code"] == 5


def test_run_acknowledges_alerts_for_its_program_unless_they_are_critical(registry: Canned) -> None:
    """The program cannot act on them; what is CRITICAL goes on to those who can."""
    registry.alerts = [
        event_pb2.Event(alert_id="1", type="service_down", severity=event_pb2.SEVERITY_CRITICAL, service_id="child"),
        event_pb2.Event(alert_id="2", type="heartbeat_miss", severity=event_pb2.SEVERITY_WARNING, service_id="child"),
    ]
    process = running(registry, "exec sleep 60")
    wait_until(lambda: heartbeats(registry, "ack"), 20, "it acknowledges")
    process.terminate()
    process.communicate(timeout=_PATIENCE)
    assert [list(each.ack.alert_ids) for each in heartbeats(registry, "ack")] == [["2"]]


def test_the_program_dies_with_a_run_that_is_killed(registry: Canned, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    process = running(registry, f"echo $$ > {pid_file}; exec sleep 60")
    pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), 10, "pid"))
    process.kill()
    process.communicate()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 5, "the program is gone")


def test_how_it_ended_is_told_once_a_restarting_registry_is_back(registry: Canned) -> None:
    process = running(registry, "exec sleep 60")
    registry.refusal = (grpc.StatusCode.UNAVAILABLE, "restarting")
    process.terminate()
    wait_until(lambda: events_sent(registry), 20, "it tries")
    registry.refusal = None
    process.communicate(timeout=_PATIENCE)
    assert len(events_sent(registry)) > 1
    assert events_sent(registry)[-1].details["signal"] == "SIGTERM"


def test_run_gives_the_program_its_identity(registry: Canned) -> None:
    done = tron("run", "--id", "a b", "--", "sh", "-c", 'echo "$TRON_SERVICE_ID $TRON_REGISTRY"', at=registry)
    assert done.stdout == f"a b {registry.address}\n"


def test_run_works_without_a_registry() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        done = tron("run", "--id", "a", "--", "sh", "-c", "exit 4", at=f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr


def test_run_says_when_there_is_no_such_program(registry: Canned) -> None:
    done = tron("run", "--id", "a", "--", "no-such-program", at=registry)
    assert (done.returncode, done.stderr) == (127, "tron: no such program: no-such-program\n")
    assert not registry.requests


def test_version_in_json_is_a_document() -> None:
    assert json.loads(tron("version", "--json").stdout)["tron"]


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["version"]])
def test_the_version_is_said_however_it_is_asked_for(words: list[str]) -> None:
    done = tron(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tron ")


def test_run_says_which_process_the_program_is(registry: Canned) -> None:
    done = tron("run", "--id", "worker", "--", "sh", "-c", "echo $$", at=registry)
    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == f"tron: worker runs as process {done.stdout.strip()}"
