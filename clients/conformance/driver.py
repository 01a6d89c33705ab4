"""Drives the Python session by the line protocol of README.md, without a clock and without a network.

`python -m clients.conformance.driver` reads commands from stdin and answers on stdout.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from grid.registry.v1 import heartbeat_pb2, service_pb2
from grid_model import wire
from tron_client.alerts import Alert, AlertInbox
from tron_client.protocol import codec, happened
from tron_client.protocol.messages import Goodbye, StreamError
from tron_client.protocol.session import AgentSession
from tron_client.reporting import checked_figures

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""What the agent's wall clock shows at 0."""


class Driver:
    """One agent at a time, on a clock that stands until `at` moves it."""

    def __init__(self) -> None:
        self._now = 0.0
        self._draw = 0.5
        self._instance_ids = (f"instance-{number}" for number in count(1))
        self._said: list[str] = []
        self._sending = False
        self._begin({"service": {}})

    def command(self, line: str) -> list[str]:
        """Obey one command; returns the answers. Raises ValueError for a command that does not exist."""
        verb, _, argument = line.partition(" ")
        given: Any = json.loads(argument) if argument else None
        obey = getattr(self, f"_do_{verb}", None)
        if obey is None:
            raise ValueError(f"no such command: {verb}")
        obey(given)
        self._pump()
        said, self._said = self._said, []
        return said

    def _do_agent(self, given: dict[str, Any]) -> None:
        self._now = 0.0
        self._begin(given)

    def _do_at(self, now: float) -> None:
        self._now = now

    def _do_draw(self, draw: float) -> None:
        self._draw = draw

    def _do_connect(self, _: None) -> None:
        if not self._session.over:
            self._session.stream_opened()
            self._sending = True

    def _do_receive(self, given: dict[str, Any]) -> None:
        message = codec.decode(ParseDict(given, heartbeat_pb2.HeartbeatResponse()))
        if message is not None:
            self._tell(self._session.receive(message, self._now))

    def _do_end(self, given: dict[str, Any] | None) -> None:
        error = None
        if given is not None:
            fields = tuple((each["field"], each["description"]) for each in given.get("fields", ()))
            error = StreamError(given.get("reason", ""), given.get("message", ""), given.get("incarnation", 0), fields)
        self._sending = False
        then = self._session.stream_ended(error, self._now, self._draw)
        if isinstance(then, happened.Reconnect):
            self._said.append(f"reconnect {then.delay:g}")
            return
        self._tell(() if then.because is None else (then.because,))
        self._session.finish()
        self._said.append("stop")

    def _do_report(self, given: dict[str, Any]) -> None:
        names = ("status", "p95_ms", "queue_depth", "load", "message", "progress")
        figures = checked_figures(*(given.get(name) for name in names))
        self._session.report(figures, given.get("busy_for"), self._now, EPOCH + timedelta(seconds=self._now))

    def _do_advance(self, steps: int) -> None:
        self._session.advance(steps)

    def _do_acknowledge(self, alert_id: str) -> None:
        self._inbox.acknowledged(alert_id)
        self._inbox.handled(alert_id)
        self._session.acknowledge(alert_id)

    def _do_goodbye(self, reason: str) -> None:
        if not self._session.goodbye(reason):
            self._session.finish()
            self._said.append("stop")

    def _do_state(self, _: None) -> None:
        self._said.append(f"state {self._session.state(self._now)}")

    def _begin(self, given: dict[str, Any]) -> None:
        declared = ParseDict(given["service"], service_pb2.Service())
        interval = wire.seconds(declared.heartbeat_interval)
        status = given.get("status", "ok")
        self._session = AgentSession(declared, declared.service_id, interval, lambda: next(self._instance_ids), status)
        self._inbox = AlertInbox(self._session.inbox_emptied)
        self._sending = False

    def _pump(self) -> None:
        session = self._session
        while (message := session.next_message(self._now)) is not None:
            encoded = MessageToDict(codec.encode(message), preserving_proto_field_name=True)
            self._said.append(f"send {json.dumps(encoded)}")
            if isinstance(message, Goodbye):
                break
        self._tell(session.take_happened())
        if self._sending and not session.sending:
            self._sending = False
            self._said.append("close")

    def _tell(self, events: Iterable[happened.Happened]) -> None:
        for each in events:
            match each:
                case happened.RegistrationConfirmed():
                    self._said.append(f"registered {each.service.incarnation}")
                case happened.AlertReceived():
                    alert = Alert(each.event, self._now, self._do_acknowledge)
                    reception = self._inbox.offer(alert)
                    self._session.alert_offered(each.alert_id, reception)
                    if reception == "taken":
                        self._inbox.take()
                        self._said.append(f"alert {json.dumps(each.alert_id)}")
                case happened.DownDeclared():
                    self._said.append(f"declared_down {json.dumps(each.event.cause)}")
                case happened.TakenOver():
                    self._said.append(f"superseded {each.incarnation}")
                case happened.RegistrationRefused():
                    self._said.append(f"refused {json.dumps([field for field, _ in each.fields])}")
                case happened.FieldRejected():
                    self._said.append(f"rejected {json.dumps(each.field)}")
                case happened.StreamGivenUp():
                    self._sending = False
                    self._said.append("break")


def main() -> None:
    """Answer until stdin ends."""
    driver = Driver()
    for line in sys.stdin:
        for answer in driver.command(line.strip()):
            print(answer)
        print("ok", flush=True)


if __name__ == "__main__":
    main()
