"""The legacy Event Stream, port 6102: section 4 of the facts, assertion by assertion; and which defects are gone."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import socketio

from tests.support.face import ISO, Face
from tests.support.waiting import wait_until


class Listener:
    """A Socket.IO client that keeps what it hears, in order."""

    def __init__(self, url: str, transports: list[str]) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.client: Any = socketio.Client(reconnection=False)
        self.client.on("*", self._hear)
        self.client.connect(url, transports=transports)

    def _hear(self, name: str, *data: Any) -> None:
        self.heard.append((name, data[0] if data else None))

    def say(self, name: str) -> None:
        """Send an event without data."""
        self.client.emit(name)

    def wait(self, name: str, event_type: str | None = None, timeout: float = 10.0) -> Any:
        """Wait until an event was heard (of that type, if one is given); return what it brought."""

        def found() -> list[Any]:
            named = [each for heard, each in self.heard if heard == name]
            return named if event_type is None else [each for each in named if each["event_type"] == event_type]

        wait_until(lambda: bool(found()), timeout, f"{name} {event_type}; heard {self.heard}")
        return found()[-1]

    def close(self) -> None:
        """Leave. A poll is answered at the next ping, up to 25 s later; the client is not to wait for it."""
        if self.client.transport() == "polling":
            self.client.eio.disconnect = functools.partial(self.client.eio.disconnect, abort=True)
        self.client.disconnect()


@contextmanager
def listening(face: Face, transport: str = "websocket") -> Iterator[Listener]:
    """A client that is connected until the block ends."""
    listener = Listener(face.gateway.url("events_http"), [transport])
    try:
        yield listener
    finally:
        listener.close()


def broadcast(face: Face, event_type: str, **data: Any) -> httpx.Response:
    """POST /broadcast."""
    return face.events.post("/broadcast", json={"event_type": event_type, "data": data})


# --- 4.1 HTTP ---------------------------------------------------------------------------------------------------------


def test_a_broadcast_answers_its_type_and_how_many_listen(face: Face) -> None:
    answer = broadcast(face, "task_started", task_id="t")
    assert answer.status_code == 200
    assert answer.json() == {"status": "broadcasted", "event_type": "task_started", "clients": 0}
    assert face.events.post("/broadcast", json={"data": {"a": 1}}).json()["event_type"] == "unknown"
    assert face.events.post("/broadcast", json={"event_type": "bare"}).status_code == 200


@pytest.mark.parametrize("body", ["{}", "[]", "0", '""', "null", "false"])
def test_an_empty_broadcast_is_refused(face: Face, body: str) -> None:
    answer = face.events.post("/broadcast", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    if body in ("{}", "[]"):
        assert answer.json() == {"error": "No JSON payload"}


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("{", "application/json"),
        ("[1]", "application/json"),
        ('{"event_type": "x", "data": null}', "application/json"),
        ('{"event_type": "x", "data": []}', "application/json"),
        ('{"event_type": "x", "data": {"n": NaN}}', "application/json"),
        ('{"event_type": 5}', "application/json"),
        ('{"event_type": "x"}', "text/plain"),
    ],
)
def test_a_wrong_broadcast_is_the_fault_of_who_sent_it(face: Face, content: str, content_type: str) -> None:
    """Q19: it was answered 500."""
    answer = face.events.post("/broadcast", content=content, headers={"content-type": content_type})
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]


def test_health_counts_listeners_and_what_is_kept(face: Face) -> None:
    broadcast(face, "counted")
    body = face.events.get("/health").json()
    assert list(body) == ["status", "service", "port", "connected_clients", "buffered_events", "timestamp"]
    assert (body["status"], body["service"]) == ("ok", "event_stream")
    assert body["port"] == int(face.gateway.ready["events_http"].rpartition(":")[2])
    assert 1 <= body["buffered_events"] <= 100
    assert ISO.fullmatch(body["timestamp"])
    with listening(face):
        wait_until(lambda: face.events.get("/health").json()["connected_clients"] == 1, 10, "one listens")
        assert broadcast(face, "heard").json()["clients"] == 1
    wait_until(lambda: face.events.get("/health").json()["connected_clients"] == 0, 10, "nobody listens")


def test_recent_events_are_flat(face: Face) -> None:
    broadcast(face, "job_started", service_id="s", task_id="t", task_name="n", progress=0.5)
    newest = face.events.get("/events/recent", params={"limit": 1}).json()["events"]
    (event,) = newest
    assert {key: event[key] for key in ("event_type", "service_id", "task_id", "task_name")} == {
        "event_type": "job_started",
        "service_id": "s",
        "task_id": "t",
        "task_name": "n",
    }
    assert event["data"]["progress"] == 0.5
    assert ISO.fullmatch(event["timestamp"])
    assert face.events.get("/events/recent?limit=0").status_code == 400


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost:6101"}])
def test_pages_of_any_origin_may_read_and_broadcast(face: Face, headers: dict[str, str]) -> None:
    assert face.events.get("/health", headers=headers).headers["access-control-allow-origin"] == "*"
    asked = {"Origin": "http://x", "Access-Control-Request-Method": "POST"}
    assert face.events.options("/broadcast", headers=asked).status_code == 200
    assert face.events.post("/broadcast", json={"event_type": "of a page"}, headers=headers).status_code == 200


def test_pages_of_other_hosts_may_read_and_not_broadcast(face: Face) -> None:
    headers = {"Origin": "http://elsewhere", "Sec-Fetch-Site": "cross-site"}
    assert face.events.get("/events/recent", headers=headers).headers["access-control-allow-origin"] == "*"
    assert face.events.post("/broadcast", json={"event_type": "of a stranger"}, headers=headers).status_code == 403
    assert face.events.get("/events/stream", headers=headers).status_code == 403
    assert "of a stranger" not in face.events.get("/events/recent").text


# --- 4.2 Socket.IO ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_new_client_is_greeted_and_then_told_the_history(face: Face, transport: str) -> None:
    broadcast(face, "before")
    with listening(face, transport) as listener:
        hello = listener.wait("connected")
        history = listener.wait("event_history")
        assert [name for name, _ in listener.heard[:2]] == ["connected", "event_history"]
        assert set(hello) == {"status", "server_time", "buffered_events"}
        assert (hello["status"], hello["buffered_events"]) == ("connected", len(history))
        assert ISO.fullmatch(hello["server_time"])
        assert history[-1]["event_type"] == "before"
        assert len(history) <= 100
        broadcast(face, "live", number=1)
        event = listener.wait("event", "live")
        assert list(event) == ["event_type", "data", "server_timestamp"]
        assert event["data"]["number"] == 1
        assert ISO.fullmatch(event["data"]["timestamp"])
        assert ISO.fullmatch(event["server_timestamp"])


def test_a_timestamp_that_was_given_stays(face: Face) -> None:
    with listening(face) as listener:
        listener.wait("connected")
        broadcast(face, "stamped", timestamp="yesterday")
        assert listener.wait("event", "stamped")["data"] == {"timestamp": "yesterday"}


def test_a_client_may_ask(face: Face) -> None:
    with listening(face) as listener:
        listener.wait("connected")
        listener.say("ping")
        assert ISO.fullmatch(listener.wait("pong")["timestamp"])
        known = len([1 for name, _ in listener.heard if name == "event_history"])
        listener.say("request_history")
        wait_until(
            lambda: len([1 for name, _ in listener.heard if name == "event_history"]) > known, 10, "the history again"
        )


def test_the_handshake_is_that_of_engine_io_4(face: Face) -> None:
    handshake = "/socket.io/?EIO=4&transport=polling"
    assert face.events.get(handshake, headers={"Origin": "http://elsewhere"}).status_code == 403
    answer = face.events.get(handshake, headers={"Origin": "http://localhost:6101"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in ("*", "http://localhost:6101")
    opened = json.loads(answer.text.removeprefix("0"))
    assert (opened["pingInterval"], opened["pingTimeout"]) == (25000, 20000)


# --- 4.3 what TRON says -----------------------------------------------------------------------------------------------


def test_an_old_dashboard_hears_of_a_timeout_and_of_the_return(face: Face) -> None:
    with listening(face) as listener:
        listener.wait("connected")
        face.register("Dir-Old", heartbeat_interval_s=1, labels={"parent": "Architect-Old"})
        timeout = listener.wait("event", "hhmrs_timeout", 15)["data"]
        assert timeout["agent_id"] == "Dir-Old"
        assert set(timeout) == {"agent_id", "restart_count", "message", "timestamp"}
        assert timeout["restart_count"] == 1
        alert = next(each["data"] for name, each in listener.heard if name == "event" and each["event_type"] == "alert")
        assert set(alert) == {"alert_type", "service_id", "message", "severity", "timestamp"}
        face.register("Dir-Old", heartbeat_interval_s=60, labels={"parent": "Architect-Old"})
        restart = listener.wait("event", "hhmrs_restart")["data"]
        assert set(restart) == {"agent_id", "parent_id", "restart_count", "message", "timestamp"}
        assert (restart["agent_id"], restart["parent_id"], restart["restart_count"]) == ("Dir-Old", "Architect-Old", 1)
        wait_until(lambda: listener.wait("event", "status_update")["data"]["status"] == "ok", 10, "it is said to be ok")


def test_a_broadcast_can_not_pass_for_an_alert_of_tron(face: Face) -> None:
    broadcast(face, "service_down", service_id="innocent")
    alerts = face.tron.get("/alerts", params={"limit": 1000}).json()["alerts"]
    assert not [each for each in alerts if each["service_id"] == "innocent"]


# --- SSE --------------------------------------------------------------------------------------------------------------


def _read(face: Face, count: int, last_event_id: str = "") -> list[tuple[str, dict[str, Any]]]:
    """So many of our own events of the stream, each with its id; services of other tests may fall silent meanwhile."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    found: list[tuple[str, dict[str, Any]]] = []
    number = ""
    with face.events.stream("GET", "/events/stream", headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("retry:") and not last_event_id:
                broadcast(face, "first", n=1)
                broadcast(face, "second", n=2)
            elif line.startswith("id: "):
                number = line.removeprefix("id: ")
            elif line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                if event["event_type"] in ("first", "second"):
                    found.append((number, event))
                if len(found) == count:
                    break
    return found


def test_server_sent_events_resume_after_the_last_one(face: Face) -> None:
    live = _read(face, 2)
    assert [each["event_type"] for _, each in live] == ["first", "second"]
    assert all(re.fullmatch(r"\d+", number) for number, _ in live)
    again = _read(face, 1, live[0][0])
    assert again == live[1:]
