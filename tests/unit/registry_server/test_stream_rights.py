"""A caller outside its rights is refused on a Heartbeat stream, and the other services on it notice nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from grid_model.access import Grant, Principal, Role
from grid_model.errors import CredentialExpired, NotOwner, PermissionDenied

from registry_server.core.agent_stream import AgentStream
from registry_server.core.columns import Columns
from registry_server.core.commits import Commits
from registry_server.core.effects import Alert, DeclaredDown, Left, Registered, Rejected, SupersededBy, UnknownService
from registry_server.core.rights import Rights
from registry_server.core.stream_messages import Abandoned, AlertAck, BeatAck, Beats, Goodbye, Register, Registers
from tests.unit.registry_server.builders import at, make_event, make_spec
from tests.unit.registry_server.test_agent_stream import Beat, read_report
from tests.unit.registry_server.test_rights import BOSS, RELAY, TWIN, WORKER, Bench, principal

DENIED, FOREIGN = PermissionDenied.reason, NotOwner.reason


class Streams(Bench):
    """A registry, and the streams of callers; what the registry sends comes to them."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[int, AgentStream] = {}
        self._opened = 0

    def open(self, who: Principal) -> int:
        """A caller opens a stream; return its number."""
        self._opened += 1
        number = self._opened
        self.registry.open_session(number)
        rights = self.rights(who)
        self.streams[number] = AgentStream(
            self.registry,
            Commits(),
            number,
            read_report,
            owes=lambda: None,
            wake=lambda: None,
            broken=lambda records: None,
            rights=rights,
        )
        return number

    def send(self, stream: int, message: Any) -> list[Any]:
        """A message comes on a stream; return what is written on this stream."""
        now = self.grid.later()
        self.streams[stream].receive(message, now, now.attentive)
        for number, sent in self.registry.take().sends:
            self.streams[number].push(sent)
        return self.written(stream)

    def written(self, stream: int) -> list[Any]:
        """What waits to be written on a stream, without acknowledgements of heartbeats."""
        found: list[Any] = []
        while (output := self.streams[stream].next_output()) is not None:
            self.streams[stream].written(output)
            if not isinstance(output, BeatAck):
                found.append(output)
        return found

    def heard(self, service_id: str) -> float:
        """When a service was last heard."""
        return self.registry.get(service_id).heard_at

    def incarnation(self, service_id: str) -> int:
        """The current incarnation."""
        return self.registry.get(service_id).incarnation


def register(service_id: str, *, shared: str = "process", on_behalf_of: str = "", **fields: Any) -> Register:
    """A registration on a stream that agents share."""
    return Register(make_spec(service_id, **fields), 0, f"i-{service_id}", shared, on_behalf_of=on_behalf_of)


def refusals(written: Sequence[Any]) -> list[tuple[str, str]]:
    """The services that were refused, and why."""
    assert all(isinstance(each, Rejected) for each in written), written
    return [(each.service_id, each.reason) for each in written]


@pytest.fixture
def streams() -> Streams:
    return Streams()


def test_an_agent_outside_its_rights_is_rejected_and_the_others_on_the_stream_go_on(streams: Streams) -> None:
    one = streams.open(WORKER)
    streams.send(one, register("worker-1"))
    assert refusals(streams.send(one, register("boss"))) == [("boss", DENIED)]
    assert refusals(streams.send(one, register("worker-2", name="boss"))) == [("worker-2", DENIED)]
    assert streams.streams[one].failure is None
    assert streams.send(one, Beats((Beat("worker-1"),))) == []
    assert streams.heard("worker-1") == streams.grid.time
    assert "boss" not in streams.registry.records


def test_the_first_registration_on_a_shared_stream_may_be_refused_without_ending_it(streams: Streams) -> None:
    one = streams.open(WORKER)
    assert refusals(streams.send(one, register("boss"))) == [("boss", DENIED)]
    assert [type(each) for each in streams.send(one, register("worker-1"))] == [Registered]


def test_a_stream_of_one_agent_ends_if_its_registration_is_refused(streams: Streams) -> None:
    one = streams.open(WORKER)
    streams.send(one, register("boss", shared=""))
    assert isinstance(streams.streams[one].failure, PermissionDenied)


def test_registrations_that_come_together_are_decided_one_by_one(streams: Streams) -> None:
    one = streams.open(WORKER)
    each = tuple(
        Register(make_spec(service_id), 0, "", "process", among=True) for service_id in ("worker-1", "boss", "worker-2")
    )
    answers = streams.send(one, Registers(each, len(each)))
    assert [rejected.service_id for rejected in answers if isinstance(rejected, Rejected)] == ["boss"]
    assert set(streams.registry.records) == {"worker-1", "worker-2"}


def test_a_service_of_another_owner_is_not_taken_over(streams: Streams) -> None:
    one, two = streams.open(WORKER), streams.open(TWIN)
    streams.send(one, register("worker-1"))
    before = streams.incarnation("worker-1")
    assert refusals(streams.send(two, register("worker-1"))) == [("worker-1", FOREIGN)]
    assert refusals(streams.send(two, Beats((Beat("worker-1"), Beat("worker-1", before))))) == [
        ("worker-1", FOREIGN),
        ("worker-1", FOREIGN),
    ]
    record = streams.registry.get("worker-1")
    assert (record.session, record.incarnation) == (one, before)
    assert streams.written(one) == [], "its stream notices nothing"


def test_heartbeats_for_services_of_others_do_not_count_on_any_stream(streams: Streams) -> None:
    old = streams.open(TWIN)
    one = streams.open(WORKER)
    streams.send(one, register("worker-1"))
    heard, incarnation = streams.heard("worker-1"), streams.incarnation("worker-1")
    for relayed in (False, True):
        answers = streams.send(old, Beats((Beat("worker-1", incarnation),), relayed=relayed))
        assert refusals(answers) == [("worker-1", FOREIGN)]
        columns = Columns((incarnation,), 0, {})
        answers = streams.send(old, Beats((), relayed=relayed, columns=columns))
        assert answers == [UnknownService("", incarnation)], "as if it had never been used"
    assert streams.heard("worker-1") == heard


def test_columns_of_a_caller_count_for_its_own_services_only(streams: Streams) -> None:
    one, two = streams.open(WORKER), streams.open(BOSS)
    streams.send(one, register("worker-1"))
    streams.send(two, register("boss"))
    boss = streams.heard("boss")
    own, foreign = streams.incarnation("worker-1"), streams.incarnation("boss")
    answers = streams.send(one, Beats((), columns=Columns((own, foreign, 999), 0, {"load": (0.5, 0.7, 0.9)})))
    assert answers == [UnknownService("", foreign), UnknownService("", 999)]
    assert (streams.heard("worker-1"), streams.heard("boss")) == (streams.grid.time, boss)
    loads = [streams.registry.get(each).report.load for each in ("worker-1", "boss")]
    assert loads == [0.5, None]


def test_a_past_incarnation_of_others_tells_nothing(streams: Streams) -> None:
    one, two = streams.open(WORKER), streams.open(BOSS)
    streams.send(two, register("boss"))
    past = streams.incarnation("boss")
    streams.send(two, Register(make_spec("boss"), 0, "next", "process"))
    assert streams.send(one, Beats((), columns=Columns((past,), 0, {}))) == [UnknownService("", past)]
    (answer,) = streams.send(two, Beats((), columns=Columns((past,), 0, {})))
    assert isinstance(answer, SupersededBy)
    streams.grid.declare_down("boss")
    streams.registry.deregister("boss", "", streams.grid.later())
    answers = streams.send(one, Beats((Beat("boss"),)))
    assert not any(isinstance(each, DeclaredDown) for each in answers)


def test_a_goodbye_for_a_service_of_others_removes_nothing_and_tells_nothing(streams: Streams) -> None:
    one, two = streams.open(WORKER), streams.open(BOSS)
    streams.send(one, register("worker-1"))
    streams.send(two, register("boss"))
    assert refusals(streams.send(one, Goodbye("boss", ""))) == [("boss", DENIED)]
    assert refusals(streams.send(one, Goodbye("nobody", ""))) == [("nobody", DENIED)]
    assert refusals(streams.send(one, Abandoned("boss", streams.incarnation("boss")))) == [("boss", DENIED)]
    assert set(streams.registry.records) == {"worker-1", "boss"}
    incarnation = streams.incarnation("worker-1")
    assert streams.send(one, Goodbye("worker-1", "", incarnation)) == [Left("worker-1", incarnation)]


def test_an_alert_of_others_is_not_acknowledged(streams: Streams) -> None:
    one, two = streams.open(WORKER), streams.open(BOSS)
    streams.send(one, register("worker-1"))
    streams.send(two, register("boss"))
    streams.registry.publish(make_event("note", recipient="boss"), streams.grid.later())
    streams.send(one, AlertAck(("note",)))
    assert len(streams.registry.waiting_for("boss")) == 1
    streams.send(two, AlertAck(("note",)))
    assert streams.registry.waiting_for("boss") == []


def test_alerts_go_to_no_stream_of_another_owner_though_it_has_the_name_of_the_recipient(streams: Streams) -> None:
    one, two = streams.open(WORKER), streams.open(BOSS)
    streams.send(two, register("boss-1", name="boss"))
    streams.registry.deregister("boss-1", "", streams.grid.later())
    streams.registry.publish(make_event("by id", recipient="boss-1"), streams.grid.later())
    streams.registry.publish(make_event("by name", recipient="boss"), streams.grid.later())
    assert refusals(streams.send(one, register("boss-1", name="worker-1"))) == [("boss-1", DENIED)]
    assert refusals(streams.send(one, register("worker-1", name="boss"))) == [("worker-1", DENIED)]
    assert streams.registry.waiting_for("boss-1")
    answers = streams.send(two, register("boss-1", name="boss"))
    assert {each.event.type for each in answers if isinstance(each, Alert)} == {"by id", "by name"}


def test_a_registration_that_re_attaches_a_service_needs_a_grant_for_the_name_that_it_keeps(streams: Streams) -> None:
    streams.grid.register("worker-1", name="boss", instance="i-worker-1")
    incarnation = streams.incarnation("worker-1")
    one = streams.open(WORKER)
    for attempt in (Register(make_spec("worker-1"), incarnation, "", "process"), register("worker-1")):
        assert refusals(streams.send(one, attempt)) == [("worker-1", DENIED)]
    answers = streams.send(one, Register(make_spec("worker-1"), 0, "another", "process"))
    assert [type(each) for each in answers] == [Registered], "a new incarnation has the new name"


def test_rights_are_decided_once_for_each_service_and_not_for_each_heartbeat(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    matches = Rights.matches

    def counted(self: Rights, *texts: str) -> bool:
        asked.append(texts[0])
        return matches(self, *texts)

    monkeypatch.setattr(Rights, "matches", counted)
    one = streams.open(WORKER)
    streams.send(one, register("worker-1"))
    relay = streams.open(RELAY)
    streams.send(relay, register("worker-2", on_behalf_of="token:worker"))
    streams.registry.register(make_spec("worker-3"), 0, "", None, streams.grid.later(), owner="token:worker")
    incarnations = [streams.incarnation(each) for each in ("worker-2", "worker-3")]
    asked.clear()
    for _ in range(5):
        streams.send(one, Beats((Beat("worker-1"),)))
        columns = Columns(tuple(incarnations), 0, {})
        streams.send(relay, Beats((), relayed=True, columns=columns, on_behalf_of="token:worker"))
    assert asked == ["worker-3"]


# --- relays -------------------------------------------------------------------------------------------------------


def test_a_relay_registers_and_beats_for_the_principals_that_it_names(streams: Streams) -> None:
    relay = streams.open(RELAY)
    streams.principals["token:other"] = principal("other", "agent worker-other")
    streams.send(relay, register("worker-1", on_behalf_of="token:worker"))
    streams.send(relay, register("worker-other", on_behalf_of="token:other"))
    owners = [streams.registry.owner_of(each) for each in ("worker-1", "worker-other")]
    assert owners == ["token:worker", "token:other"]


@pytest.mark.parametrize(
    ("service_id", "on_behalf_of"),
    [
        ("worker-1", ""),
        ("worker-1", "token:operator"),
        ("worker-1", "token:unknown"),
        ("worker-1", "token:boss"),
        ("boss-child", "token:worker"),
    ],
)
def test_a_relay_outside_its_rights_is_rejected_and_its_stream_goes_on(
    streams: Streams, service_id: str, on_behalf_of: str
) -> None:
    relay = streams.open(RELAY)
    streams.send(relay, register("worker-9", shared="", on_behalf_of="token:worker"))
    answers = streams.send(relay, register(service_id, shared="", on_behalf_of=on_behalf_of))
    assert refusals(answers) == [(service_id, DENIED)]
    assert streams.streams[relay].failure is None


def test_a_refused_registration_never_ends_the_stream_of_a_relay(streams: Streams) -> None:
    relay = streams.open(RELAY)
    answers = streams.send(relay, register("worker-1", shared="", on_behalf_of="token:boss"))
    assert refusals(answers) == [("worker-1", DENIED)]
    assert refusals(streams.send(relay, Beats((Beat("worker-1"),), on_behalf_of="token:operator"))) == [("", DENIED)]
    assert streams.streams[relay].failure is None


def test_a_relay_sends_heartbeats_only_of_services_of_the_principal_that_it_names(streams: Streams) -> None:
    relay = streams.open(RELAY)
    streams.register(TWIN, "worker-1")
    heard, incarnation = streams.heard("worker-1"), streams.incarnation("worker-1")
    for name in ("", "token:worker"):
        columns = Columns((incarnation,), 0, {})
        answers = streams.send(relay, Beats((), relayed=True, columns=columns, on_behalf_of=name))
        assert answers == [UnknownService("", incarnation)]
    assert streams.heard("worker-1") == heard
    columns = Columns((incarnation,), 0, {})
    assert streams.send(relay, Beats((), relayed=True, columns=columns, on_behalf_of="token:twin")) == []
    assert streams.heard("worker-1") == streams.grid.time == at(streams.grid.time).attentive


def test_a_relay_keeps_no_service_of_a_principal_that_has_lost_rights(streams: Streams) -> None:
    relay, other = streams.open(RELAY), streams.open(RELAY)
    streams.send(relay, register("worker-1", on_behalf_of="token:worker"))
    assert streams.streams[relay].lost_rights() is None
    streams.principals["token:worker"] = replace(WORKER, grants=(*WORKER.grants, Grant(Role.OBSERVER, "*")))
    assert streams.streams[relay].lost_rights() is None, "further rights are no reason"
    for now in (replace(WORKER, grants=()), replace(WORKER, group="other"), None):
        streams.principals.pop("token:worker")
        if now is not None:
            streams.principals["token:worker"] = now
        error = streams.streams[relay].lost_rights()
        assert error is not None
        assert error.reason == CredentialExpired.reason
        assert streams.streams[other].lost_rights() is None
        streams.principals["token:worker"] = WORKER


def test_a_relay_that_only_passes_heartbeats_on_keeps_its_stream(streams: Streams) -> None:
    relay = streams.open(RELAY)
    streams.register(TWIN, "worker-1")
    columns = Columns((streams.incarnation("worker-1"),), 0, {})
    assert streams.send(relay, Beats((), relayed=True, columns=columns, on_behalf_of="token:twin")) == []
    del streams.principals["token:twin"]
    assert streams.streams[relay].lost_rights() is None, "each message is decided anew"
    answers = streams.send(relay, Beats((), relayed=True, columns=columns, on_behalf_of="token:twin"))
    assert refusals(answers) == [("", DENIED)]
