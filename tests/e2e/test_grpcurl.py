"""The names that people type: everything with grpcurl alone, as section 9 of the architecture spells it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.conftest import Grid
from tests.e2e.raw_agent import beating, unique
from tests.support.binaries import find_binary
from tests.support.waiting import wait_until

pytestmark = pytest.mark.needs("grpcurl")

REGISTRY = "grid.registry.v1.RegistryService"
EVENTS = "grid.events.v1.EventService"
TRON = "grid.tron.v1.TronService"
HEALTH = "grpc.health.v1.Health"


def command(address: str, *words: str, data: str | None = None) -> list[str]:
    """A grpcurl command line: a method, or `list`, or `describe` and a symbol; `data` is what is sent."""
    binary = find_binary("grpcurl")
    assert binary is not None
    return [binary, "-plaintext", *(() if data is None else ("-d", data)), address, *words]


def grpcurl(address: str, method: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    """A unary call that succeeds."""
    done = subprocess.run(
        command(address, method, data=json.dumps(request or {})), capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def fails(address: str, method: str, request: dict[str, Any]) -> str:
    """A unary call that fails; what grpcurl says about it."""
    done = subprocess.run(command(address, method, data=json.dumps(request)), capture_output=True, text=True)
    assert done.returncode != 0, done.stdout
    return done.stderr


def documents(text: str) -> list[dict[str, Any]]:
    """The JSON documents of an output that may still be growing."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (at := text.find("{", at)) >= 0:
        try:
            document, at = decoder.raw_decode(text, at)
        except ValueError:
            break
        found.append(document)
    return found


class Conversation:
    """A grpcurl that runs: what it heard so far, and its standard input."""

    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def say(self, message: dict[str, Any]) -> None:
        """Type one message."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def wait(self, kind: str) -> dict[str, Any]:
        """Wait for a message that has this field; return the field's value of the newest."""

        def found() -> list[dict[str, Any]]:
            return [each for each in documents(self._text) if kind in each]

        try:
            wait_until(found, 10, kind)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._text}") from None
        value: dict[str, Any] = found()[-1][kind]
        return value

    def end(self) -> None:
        """Kill it, and reap it."""
        self._process.kill()
        self._process.wait()
        self._reader.join(10)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._text += line


@contextmanager
def talking(address: str, method: str, request: dict[str, Any] | None = None) -> Iterator[Conversation]:
    """A streaming call until the block ends; with `request` None the messages come from its standard input."""
    conversation = Conversation(command(address, method, data="@" if request is None else json.dumps(request)))
    try:
        yield conversation
    finally:
        conversation.end()


def test_reflection_lists_and_describes_everything(grid: Grid) -> None:
    for address, services in ((grid.address, {REGISTRY, EVENTS, HEALTH}), (grid.tron_address, {TRON, HEALTH})):
        listed = subprocess.run(command(address, "list"), capture_output=True, text=True, check=True).stdout.split()
        assert services <= set(listed)
        for service in services:
            described = subprocess.run(
                command(address, "describe", service), capture_output=True, text=True, check=True
            ).stdout
            assert f"{service} is a service" in described


def test_a_method_and_a_message_are_described_by_their_names(grid: Grid) -> None:
    for symbol, kind in ((f"{REGISTRY}.Heartbeat", "method"), ("grid.registry.v1.Beat", "message")):
        done = subprocess.run(
            command(grid.address, "describe", symbol), capture_output=True, text=True, check=True
        ).stdout
        assert f"{symbol} is a {kind}" in done
    unknown = subprocess.run(command(grid.address, "describe", f"{REGISTRY}.Explode"), capture_output=True, text=True)
    assert unknown.returncode != 0


def test_a_service_is_registered_read_promoted_and_removed(grid: Grid) -> None:
    service_id = unique("typed")
    service = {
        "service_id": service_id, "name": service_id, "type": "SERVICE_TYPE_MODEL", "role": "SERVICE_ROLE_STAGING",
        "url": "http://127.0.0.1:9", "caps": ["chat"], "labels": {"team": "blue", "port": 6109}, "parent": "nobody yet",
        "ctx_limit": 8192, "cost_hint": {"usd_per_1k": 0.002}, "heartbeat_interval": "30s", "ttl": "90s",
        "reconnect_grace": "2s", "stall_after": "60s",
    }  # fmt: skip
    answer = grpcurl(grid.address, f"{REGISTRY}/Register", {"service": service})["service"]
    assert (answer["service_id"], answer["labels"], answer["ctx_limit"]) == (service_id, service["labels"], "8192")
    assert int(answer["incarnation"]) > 0
    assert {"registered_at", "last_heartbeat_at", "status", "liveness", "liveness_since"} <= set(answer)
    filters = {
        "type": "SERVICE_TYPE_MODEL", "role": "SERVICE_ROLE_STAGING", "cap": "chat", "name": service_id,
        "status": "SERVICE_STATUS_OK", "label_selector": {"team": "blue"}, "page_size": 10, "page_token": "",
    }  # fmt: skip
    page = grpcurl(grid.address, f"{REGISTRY}/ListServices", filters)
    assert [each["service_id"] for each in page["services"]] == [service_id]
    assert int(page["revision"]) > 0
    promotion = {"name": service_id, "from_role": "SERVICE_ROLE_STAGING", "to_role": "SERVICE_ROLE_CANARY"}
    assert grpcurl(grid.address, f"{REGISTRY}/Promote", promotion) == {"updated_instances": 1}
    read = grpcurl(grid.address, f"{REGISTRY}/GetService", {"service_id": service_id})["service"]
    assert read["role"] == "SERVICE_ROLE_CANARY"
    assert grpcurl(grid.address, f"{REGISTRY}/Deregister", {"service_id": service_id}) == {}
    assert "NotFound" in fails(grid.address, f"{REGISTRY}/GetService", {"service_id": service_id})


def test_a_wrong_registration_is_explained_on_the_terminal(grid: Grid) -> None:
    said = fails(grid.address, f"{REGISTRY}/Register", {"service": {"name": "", "heartbeat_interval": "30s"}})
    assert "InvalidArgument" in said
    assert "service.name" in said
    assert "ERROR_REASON_INVALID_REQUEST" in said


def test_a_heartbeat_stream_is_typed_line_by_line(grid: Grid) -> None:
    service_id = unique("typed-agent")
    with talking(grid.address, f"{REGISTRY}/Heartbeat") as agent:
        agent.say({"register": {"service": {"service_id": service_id, "name": service_id}}})
        assert agent.wait("registered")["service"]["service_id"] == service_id
        beat = {
            "service_id": service_id, "incarnation": 0, "sequence": 41, "status": "SERVICE_STATUS_RUNNING",
            "p95_ms": 12.5, "queue_depth": 3, "load": 0.5, "message": "at work", "progress": 0.25, "activity": 7,
            "loop_lag": "0.010s", "busy_until": "2030-01-01T00:00:00Z",
        }  # fmt: skip
        agent.say({"beats": {"beats": [beat], "ack_requested": True}})
        assert agent.wait("ack") == {"sequence": "41"}
        record = grpcurl(grid.address, f"{REGISTRY}/GetService", {"service_id": service_id})["service"]
        assert record["connected"] is True
        assert (record["status"], record["progress"], record["activity"], record["queue_depth"]) == (
            "SERVICE_STATUS_RUNNING",
            0.25,
            "7",
            "3",
        )
        agent.say({"beats": {"beats": [{"service_id": "nobody has this"}]}})
        assert agent.wait("unknown_service") == {"service_id": "nobody has this"}
        event = {"type": "note", "recipient": service_id, "message": "hello"}
        sent = grpcurl(grid.address, f"{EVENTS}/PublishEvent", {"event": event})["event"]
        assert agent.wait("alert")["event"]["alert_id"] == sent["alert_id"]
        agent.say({"ack": {"alert_ids": [sent["alert_id"]]}})
        agent.say({"goodbye": {"service_id": service_id, "reason": "done"}})
        wait_until(lambda: grid.find(service_id) is None, 10, "the goodbye is heard")
    query = {"recipient": service_id, "unacknowledged": True}
    assert grpcurl(grid.address, f"{EVENTS}/ListEvents", query).get("events", []) == []


def test_a_watcher_sees_the_snapshot_the_marker_and_the_changes(grid: Grid) -> None:
    service_id = unique("watched")
    with talking(grid.address, f"{REGISTRY}/WatchServices", {"start_revision": 0}) as watcher:
        assert watcher.wait("snapshot_complete") == {}
        grpcurl(grid.address, f"{REGISTRY}/Register", {"service": {"service_id": service_id, "name": service_id}})
        # Services of other tests may change meanwhile, by hundreds; each wait has a deadline of its own.
        assert any(watcher.wait("upserted")["service_id"] == service_id for _ in range(5000))
        assert int(watcher.wait("revision")) > 0  # type: ignore[call-overload]
        grpcurl(grid.address, f"{REGISTRY}/Deregister", {"service_id": service_id})
        assert any(watcher.wait("removed") == {"service_id": service_id} for _ in range(5000))


def test_an_event_is_published_followed_listed_and_acknowledged(grid: Grid) -> None:
    about, recipient = unique("subject"), unique("reader")
    filters = {"after_sequence": 0, "recipient": recipient, "service_id": about, "types": ["note"]}
    with talking(grid.address, f"{EVENTS}/SubscribeEvents", filters) as reader:
        event = {
            "type": "note", "severity": "SEVERITY_WARNING", "service_id": about, "service_name": "Subject",
            "recipient": recipient, "action": "noted", "message": "look", "details": {"why": ["because"]},
        }  # fmt: skip
        sent = grpcurl(grid.address, f"{EVENTS}/PublishEvent", {"event": event})["event"]
        assert reader.wait("event") == sent
        assert sent["details"] == {"why": ["because"]}
    listed = grpcurl(grid.address, f"{EVENTS}/ListEvents", {"after_sequence": 0, "limit": 10, "service_id": about})
    assert listed["events"] == [sent]
    acknowledgement = {"alert_id": sent["alert_id"], "recipient": recipient}
    assert grpcurl(grid.address, f"{EVENTS}/AcknowledgeEvent", acknowledgement) == {"acknowledged": 1}
    assert grpcurl(grid.address, f"{EVENTS}/AcknowledgeEvent", acknowledgement) == {}
    assert "NotFound" in fails(grid.address, f"{EVENTS}/AcknowledgeEvent", {"alert_id": "never sent"})


def test_tron_tells_its_statistics_and_its_thresholds(grid: Grid) -> None:
    stats = grpcurl(grid.tron_address, f"{TRON}/GetStats")
    assert stats["watching"] is True
    assert stats["total_services"] >= stats["healthy_services"] > 0
    assert "last_check" in stats
    policy = grpcurl(grid.tron_address, f"{TRON}/GetPolicy")["policy"]
    assert (policy["misses_before_down"], policy["reconnect_grace"]) == (2, "2s")
    assert isinstance(grpcurl(grid.tron_address, f"{TRON}/ListAlerts", {"limit": 1}), dict)


def test_any_health_probe_can_ask_about_everyone(grid: Grid) -> None:
    service_id = unique("probed")
    with beating(grid.address, service_id):
        for name in ("", REGISTRY, EVENTS, TRON, "service-registry"):
            assert grpcurl(grid.address, f"{HEALTH}/Check", {"service": name}) == {"status": "SERVING"}, name
        wait_until(
            lambda: grpcurl(grid.address, f"{HEALTH}/Check", {"service": service_id}) == {"status": "SERVING"},
            10,
            "the agent is alive",
        )
        assert grpcurl(grid.tron_address, f"{HEALTH}/Check", {"service": TRON}) == {"status": "SERVING"}
    assert "NotFound" in fails(grid.address, f"{HEALTH}/Check", {"service": "nobody has this"})
