"""What is answered on an agent's stream, what ends it, and what of it the registry learns beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from grid_model.errors import Draining, FieldError, InvalidRequest, QuotaExceeded, ReaderTooSlow, SilentStream

from registry_server.core.agent_stream import (
    ACK_EVERY,
    HIGH_WATER,
    MOST_ANSWERS,
    OUTBOX,
    PATIENCE,
    AgentStream,
)
from registry_server.core.commits import MAX_LINES, Commits
from registry_server.core.effects import (
    Alert,
    EndStream,
    Left,
    PutService,
    Registered,
    Rejected,
    SupersededBy,
    UnknownService,
)
from registry_server.core.message_parts import MAX_BEATS, MAX_REGISTERS
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Report
from registry_server.core.stream_messages import (
    Abandoned,
    AlertAck,
    BeatAck,
    Beats,
    Drain,
    Goodbye,
    Invalid,
    Register,
    Registers,
    Registrations,
)
from tests.support.end_stream import end_stream
from tests.unit.registry_server.builders import at, make_event, make_spec


@dataclass(frozen=True)
class Beat:
    """A heartbeat that reports nothing."""

    service_id: str = "a"
    incarnation: int = 0
    sequence: int = 0


def read_report(beat: Any, before: Report, *, replaces_figures: bool) -> Report:
    """Figures of `bad` are wrong, of everybody else as before."""
    if beat.service_id == "bad":
        raise InvalidRequest.of(FieldError("beat.load", "is wrong"))
    return before


class Bench:
    """One stream, and what it asked for."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.commits = Commits()
        self.owed = 0
        self.woken = 0
        self.time = 0.0
        self.registry.open_session(1)
        self.broken: list[str] = []
        self.stream = AgentStream(
            self.registry, self.commits, 1, read_report, owes=self.owe, wake=self.wake, broken=self.breaks
        )

    def breaks(self, records: list[Record]) -> None:
        self.broken += [record.spec.service_id for record in records]

    def owe(self) -> None:
        self.owed += 1

    def wake(self) -> None:
        self.woken += 1

    def receive(self, message: Any, *, draining: bool = False) -> None:
        """The agent sends a message; what the registry answers comes back to the stream."""
        self.stream.receive(message, at(self.time), self.time, draining=draining)
        for _, sent in self.registry.take().sends:
            self.stream.push(sent)

    def register(self, service_id: str = "a", *, shared: str = "") -> int:
        """It registers a service; return its incarnation."""
        self.receive(Register(make_spec(service_id), 0, f"instance {service_id}", shared))
        return self.registry.get(service_id).incarnation

    def written(self) -> list[Any]:
        """Everything that goes out now."""
        found: list[Any] = []
        while (output := self.stream.next_output()) is not None:
            found.append(output)
            self.stream.written(output)
        return found


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_registration_is_answered(bench: Bench) -> None:
    bench.register()
    assert [type(each) for each in bench.written()] == [Registered]
    assert bench.stream.failure is None


@pytest.mark.parametrize("message", [AlertAck(("x",)), Goodbye("a", "")])
def test_the_first_message_must_be_a_registration_or_heartbeats(bench: Bench, message: object) -> None:
    bench.receive(message)
    assert isinstance(bench.stream.failure, InvalidRequest)
    assert bench.stream.failure.fields[0].field == "kind"


def test_an_error_ends_a_stream_that_carries_nobody_and_is_answered_on_one_that_does(bench: Bench) -> None:
    bench.register()
    bench.written()
    bench.receive(Register(make_spec("b", name=""), 0, ""))
    (rejected,) = bench.written()
    assert (rejected.service_id, rejected.field) == ("b", "service.name")
    assert bench.stream.failure is None
    other = Bench()
    other.receive(Register(make_spec("b", name=""), 0, ""))
    assert isinstance(other.stream.failure, InvalidRequest)


def test_a_message_that_cannot_be_read_is_refused_with_its_fields(bench: Bench) -> None:
    bench.register()
    bench.written()
    bench.receive(Invalid(InvalidRequest.of(FieldError("service.ttl", "is wrong")), "b"))
    assert bench.written() == [Rejected("b", "service.ttl", "is wrong")]


def test_a_registry_that_drains_or_is_full_refuses_registrations(bench: Bench) -> None:
    bench.receive(Register(make_spec(), 0, ""), draining=True)
    assert isinstance(bench.stream.failure, Draining)
    full = Bench()
    full.commits.lines = MAX_LINES + 1
    full.receive(Register(make_spec(), 0, ""))
    assert isinstance(full.stream.failure, QuotaExceeded)


def test_an_incarnation_that_is_not_known_is_asked_to_register_again(bench: Bench) -> None:
    bench.receive(Register(make_spec(), 7, ""))
    assert bench.written() == [UnknownService("a")]


def test_heartbeats_are_acknowledged_when_asked_for_and_else_once_a_second(bench: Bench) -> None:
    bench.register()
    bench.written()
    bench.receive(Beats((Beat(sequence=1),)))
    assert bench.written() == [BeatAck(1)], "nothing was acknowledged for long"
    bench.time = ACK_EVERY / 2
    bench.receive(Beats((Beat(sequence=2),)))
    bench.receive(Beats((Beat(sequence=3),)))
    assert (bench.written(), bench.owed) == ([], 1)
    assert not bench.stream.flush_ack(bench.time)
    bench.receive(Beats((Beat(sequence=4),), ack_requested=True))
    assert bench.written() == [BeatAck(4)]
    assert bench.stream.flush_ack(bench.time)
    bench.receive(Beats((Beat(sequence=5),)))
    assert bench.stream.flush_ack(bench.time + ACK_EVERY)
    assert bench.written() == [BeatAck(5)]


def test_a_relay_hears_of_the_revision_and_when_it_was_read(bench: Bench) -> None:
    bench.register()
    bench.written()
    bench.receive(Beats((Beat(), Beat()), relayed=True))
    (ack,) = bench.written()
    assert (ack.sequence, ack.revision, ack.heard_at) == (2, bench.registry.revision, at(0.0).wall)


def test_a_heartbeat_with_wrong_figures_counts_as_a_sign_of_life(bench: Bench) -> None:
    bench.register("bad")
    bench.written()
    bench.time = 5.0
    bench.receive(Beats((Beat("bad", sequence=1),)))
    assert bench.written() == [Rejected("bad", "beat.load", "is wrong"), BeatAck(1)]
    assert bench.registry.get("bad").heard_at == 5.0


def test_heartbeats_without_an_id_or_too_many_of_them_are_refused(bench: Bench) -> None:
    bench.register()
    bench.written()
    bench.receive(Beats((Beat(""), Beat("a", sequence=1))))
    assert bench.written() == [Rejected("", "beat.service_id", "must not be empty"), BeatAck(1)]
    bench.receive(Beats([Beat()] * (MAX_BEATS + 1)))
    (rejected,) = bench.written()
    assert rejected.field == "beats.beats"


def test_a_goodbye_removes_the_service(bench: Bench) -> None:
    bench.register()
    bench.receive(Goodbye("a", "done"))
    assert "a" not in bench.registry.records


def test_messages_leave_in_order_and_a_drain_comes_last(bench: Bench) -> None:
    bench.register()
    bench.stream.drain(2.0, at(0.0))
    bench.receive(Beats((Beat(sequence=1),)))
    assert [type(each) for each in bench.written()] == [Registered, BeatAck, Drain]
    assert not bench.stream.has_output


def test_a_message_stays_in_the_outbox_until_it_is_written(bench: Bench) -> None:
    bench.register()
    output = bench.stream.next_output()
    assert bench.stream.has_output
    assert output is not None
    bench.stream.written(output)
    assert not bench.stream.has_output


def test_the_outbox_is_bounded(bench: Bench) -> None:
    for number in range(HIGH_WATER + 1):
        assert not bench.stream.is_behind
        bench.stream.push(UnknownService(str(number)))
    assert bench.stream.is_behind
    for number in range(OUTBOX - HIGH_WATER - 1):
        bench.stream.push(UnknownService(str(number)))
    assert bench.stream.failure is None
    bench.stream.push(UnknownService("one more"))
    assert isinstance(bench.stream.failure, ReaderTooSlow)
    assert len(bench.stream.outbox) == OUTBOX


def test_patience_is_in_attentive_seconds(bench: Bench) -> None:
    assert bench.stream.is_too_slow(1.0, at(1.0 + PATIENCE - 0.1)) is None
    assert isinstance(bench.stream.is_too_slow(1.0, at(1.0 + PATIENCE)), ReaderTooSlow)


@pytest.mark.parametrize(("services", "words"), [(3, "declared down"), (0, "carries no service")])
def test_a_silent_stream_is_ended_with_its_reason(bench: Bench, services: int, words: str) -> None:
    bench.stream.push(EndStream(services, 1))
    assert isinstance(bench.stream.failure, SilentStream)
    assert words in str(bench.stream.failure)


def test_the_first_reason_for_its_end_counts_and_its_services_are_not_accused(bench: Bench) -> None:
    bench.register()
    bench.stream.end(ReaderTooSlow("first"))
    bench.stream.end(Draining("second"))
    assert isinstance(bench.stream.failure, ReaderTooSlow)
    assert end_stream(bench.registry, 1, at(1.0)) == [], "we ended it: nobody broke"
    assert bench.registry.get("a").detached_reason == ReaderTooSlow.reason


# --- many agents of one process on one stream ---------------------------------------------------------------------


def test_a_registration_and_its_refusal_bring_back_the_instance_id(bench: Bench) -> None:
    bench.register("a", shared="process")
    bench.receive(Register(make_spec("b", name=""), 0, "instance b", "process"))
    registered, rejected = bench.written()
    assert registered.instance_id == "instance a"
    assert (rejected.service_id, rejected.instance_id, rejected.reason) == ("b", "instance b", InvalidRequest.reason)


def test_on_a_shared_stream_not_even_the_first_error_ends_it(bench: Bench) -> None:
    bench.receive(Register(make_spec("b", name=""), 0, "1", "process"))
    bench.receive(Invalid(InvalidRequest.of(FieldError("service.ttl", "is wrong")), "c", "2", "process"))
    bench.receive(Goodbye("", ""))
    bench.receive(Register(make_spec("d"), 0, "3", "process"), draining=True)
    bench.commits.lines = MAX_LINES + 1
    bench.receive(Register(make_spec("e"), 0, "4", "process"))
    assert bench.stream.failure is None
    reasons = [(each.instance_id, each.reason) for each in bench.written()]
    invalid = InvalidRequest.reason
    assert reasons == [
        ("1", invalid),
        ("2", invalid),
        ("", invalid),
        ("3", Draining.reason),
        ("4", QuotaExceeded.reason),
    ]
    bench.commits.lines = 0
    bench.register("a", shared="process")
    assert [type(each) for each in bench.written()] == [Registered]


def test_a_process_has_a_name_of_bounded_length(bench: Bench) -> None:
    bench.receive(Register(make_spec("a"), 0, "", "x" * 101))
    assert isinstance(bench.stream.failure, InvalidRequest)
    assert bench.stream.failure.fields[0].field == "register.shared"


def test_a_second_agent_with_the_same_id_supersedes_the_first_and_its_goodbye_removes_nothing(bench: Bench) -> None:
    older = bench.register("a", shared="process")
    bench.receive(Register(make_spec("a"), 0, "another", "process"))
    newer = bench.registry.get("a").incarnation
    assert SupersededBy("a", newer) in bench.written()
    bench.receive(Goodbye("a", "", older))
    assert bench.written() == [SupersededBy("a", newer)]
    bench.receive(Beats((Beat("a", older, 1),), ack_requested=True))
    assert bench.written() == [SupersededBy("a", newer), BeatAck(1)]
    assert bench.registry.get("a").session == 1
    bench.receive(Goodbye("a", "", newer))
    assert bench.written() == [Left("a", newer)]
    assert "a" not in bench.registry.records


def test_a_goodbye_that_names_no_incarnation_is_not_answered(bench: Bench) -> None:
    bench.register("a")
    bench.written()
    bench.receive(Goodbye("a", ""))
    assert bench.written() == []


def test_an_abandoned_agent_breaks_off_alone(bench: Bench) -> None:
    first, _ = bench.register("a", shared="process"), bench.register("b", shared="process")
    bench.receive(Abandoned("a", first + 100))
    assert bench.broken == []
    bench.receive(Abandoned("a", first))
    assert bench.broken == ["a"]
    record = bench.registry.get("a")
    assert (record.session, record.detached_at, record.detached_reason) == (None, 0.0, "")
    assert bench.registry.get("b").session == 1
    bench.receive(Abandoned("a", first))
    assert bench.broken == ["a"], "once"


def test_services_of_one_process_name_it(bench: Bench) -> None:
    bench.register("a", shared="process")
    assert bench.registry.get("a").process == "process"


def test_alerts_wait_for_room_on_a_shared_stream_and_reading_goes_on(bench: Bench) -> None:
    bench.register("a", shared="process")
    bench.written()
    for number in range(HIGH_WATER - 1):
        bench.stream.push(Alert(make_event("service_down", alert_id=str(number), recipient="b")))
    for name in ("x", "y", "z"):
        bench.registry.publish(make_event("service_down", alert_id=name, recipient="a"), at(0.0))
    for _, sent in bench.registry.take().sends:
        bench.stream.push(sent)
    assert not bench.stream.is_behind
    assert bench.stream.failure is None
    assert not bench.stream.send_held(), "there is no room yet"
    written = [each.event.alert_id for each in bench.written()]
    assert (len(written), written[-1]) == (HIGH_WATER, "x")
    assert bench.stream.send_held()
    for _, sent in bench.registry.take().sends:
        bench.stream.push(sent)
    assert [each.event.alert_id for each in bench.written()] == ["y", "z"]
    assert not bench.stream.send_held()


def test_answers_and_acknowledgements_of_heartbeats_overtake_the_alerts_of_a_shared_stream(bench: Bench) -> None:
    incarnation = bench.register("a", shared="process")
    bench.written()
    for name in ("x", "y"):
        bench.registry.publish(make_event("service_down", alert_id=name, recipient="a"), at(0.0))
    for _, sent in bench.registry.take().sends:
        bench.stream.push(sent)
    bench.receive(Beats((Beat("a", incarnation, 1),), ack_requested=True))
    bench.register("b", shared="process")
    assert [type(each) for each in bench.written()] == [Registered, BeatAck, Alert, Alert]


# --- registrations that come many in a message ----------------------------------------------------------------------


def registers(*ids: str, relayed: bool = False, **fields: Any) -> Registers:
    """A message with a registration for each of these."""
    each = [Register(make_spec(i, **fields), 0, f"instance {i}", among=True, relayed=relayed) for i in ids]
    return Registers(each, len(each))


def test_registrations_of_one_message_are_answered_together_in_order(bench: Bench) -> None:
    ids = [str(number) for number in range(MOST_ANSWERS + 2)]
    bench.receive(registers(*ids))
    many, rest = bench.written()
    assert [len(many.registered), len(rest.registered)] == [MOST_ANSWERS, 2]
    answered = [each for answer in (many, rest) for each in answer.registered]
    assert [each.service.spec.service_id for each in answered] == ids
    assert [each.instance_id for each in answered] == [f"instance {each}" for each in ids]
    assert not bench.stream.has_output
    assert all(bench.registry.get(each).session == 1 for each in ids)


def test_they_share_one_commit(bench: Bench) -> None:
    bench.stream.receive(registers("a", "b", "c"), at(0.0), 0.0)
    effects = bench.registry.take()
    assert len([each for each in effects.writes if isinstance(each, PutService)]) == 3
    assert len(effects.registered) == 3


def test_of_many_registrations_a_bad_one_is_refused_alone(bench: Bench) -> None:
    good, bad = registers("a", "b").registers
    unreadable = Invalid(InvalidRequest.of(FieldError("service.ttl", "is wrong")), "c", "instance c", among=True)
    wrong = Register(make_spec("b", name=""), 0, "instance b", among=True)
    bench.receive(Registers([wrong, unreadable, good, bad], 4))
    written = bench.written()
    assert bench.stream.failure is None, "though the stream carried nobody when the first one was refused"
    refused = [each for each in written if isinstance(each, Rejected)]
    assert [(each.service_id, each.field, each.instance_id) for each in refused] == [
        ("b", "service.name", "instance b"),
        ("c", "service.ttl", "instance c"),
    ]
    (answers,) = [each for each in written if isinstance(each, Registrations)]
    assert [each.service.spec.service_id for each in answers.registered] == ["a", "b"]


def test_a_registry_that_drains_refuses_each_of_them_and_goes_on(bench: Bench) -> None:
    bench.receive(registers("a", "b"), draining=True)
    assert [each.reason for each in bench.written()] == [Draining.reason] * 2
    assert bench.stream.failure is None


def test_too_many_registrations_in_one_message_are_refused_as_a_whole(bench: Bench) -> None:
    bench.register("first")
    bench.written()
    bench.receive(Registers((), MAX_REGISTERS + 1))
    (rejected,) = bench.written()
    expected = ("registers.registers", "has 1001 elements; at most 1000 are allowed")
    assert (rejected.field, rejected.description) == expected


def test_a_relay_registers_services_that_its_stream_does_not_carry(bench: Bench) -> None:
    bench.receive(registers("a", "b", relayed=True))
    (answers,) = bench.written()
    assert [each.service.spec.service_id for each in answers.registered] == ["a", "b"]
    assert [bench.registry.get(each).session for each in ("a", "b")] == [None, None]
    assert not bench.registry.carries(1)
    end_stream(bench.registry, 1, at(1.0))
    assert bench.registry.get("a").detached_at is None


def test_the_answer_to_a_relay_ends_the_wait_of_the_service(bench: Bench) -> None:
    bench.stream.receive(registers("a", relayed=True), at(0.0), 0.0)
    (service,) = bench.registry.take().registered
    bench.registry.wait_for_answers([service])
    assert bench.registry.get("a").unanswered
    bench.registry.answered(None, service, at(5.0))
    assert not bench.registry.get("a").unanswered
    assert bench.registry.get("a").heard_at == 5.0


def test_an_answer_between_two_others_keeps_its_place(bench: Bench) -> None:
    bench.receive(registers("a"))
    bench.written()
    bench.receive(Register(make_spec("b"), 99, ""))
    bench.receive(registers("c", "d"))
    assert [type(each) for each in bench.written()] == [UnknownService, Registrations]
