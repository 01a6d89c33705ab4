"""The decisions of SharedStream: several agents on one stream, each of them apart."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from tron_client.protocol import answers, happened
from tron_client.protocol.answers import (
    Alert,
    BeatAck,
    DeclaredDown,
    Drain,
    Left,
    Registered,
    Rejected,
    StreamError,
    Superseded,
    UnknownService,
)
from tron_client.protocol.happened import Reconnect, Stop
from tron_client.protocol.messages import Abandoned, AlertAck, Beat, Beats, Goodbye, Register, Registers
from tron_client.protocol.registration import INVALID_REQUEST
from tron_client.protocol.report import Figures
from tron_client.protocol.send_queue import ANSWER_PATIENCE
from tron_client.protocol.session import SUPERSEDED, AgentSession
from tron_client.protocol.shared_stream import MOST_TOGETHER, SharedStream

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUOTA = "ERROR_REASON_QUOTA_EXCEEDED"
WORDS = itertools.count(1)


class Fleet:
    """Agents of one process on one stream, and what happened to them."""

    def __init__(self, *ids: str, process: str = "process", interval: float = 1.0) -> None:
        self.now = 0.0
        self.stream = SharedStream(process)
        self.interval = interval
        self.agents: list[AgentSession] = []
        self.told: list[tuple[str, happened.Happened]] = []
        for service_id in ids:
            self.add(service_id)

    def add(self, service_id: str) -> AgentSession:
        session = AgentSession("declared", service_id, self.interval, lambda: f"word {next(WORDS)}")
        self.agents.append(session)
        self.stream.join(session, f"name of {service_id}")
        return session

    def sent(self) -> list[Any]:
        """All that goes up now."""
        found = list(iter(lambda: self.stream.next_message(self.now), None))
        self._hear(self.stream.take_told())
        return found

    def receive(self, message: answers.Incoming, draw: float = 0.5) -> list[Any]:
        """A message comes down; returns what goes up because of it."""
        self._hear(self.stream.receive(message, self.now, draw))
        return self.sent()

    def _hear(self, told: Any) -> None:
        self.told += [(session.service_id, event) for session, events in told for event in events]

    def kinds(self, service_id: str) -> list[type]:
        return [type(event) for each, event in self.told if each == service_id]

    def confirm(self, register: Register, incarnation: int = 0) -> list[Any]:
        """The registry answers a registration."""
        held = incarnation or register.incarnation or next(WORDS)
        service_id = register.service_id or "assigned"
        return self.receive(Registered(service_id, held, "record", None, register.instance_id))

    def connect(self) -> None:
        """A stream opens, and all that registers is answered."""
        self.stream.stream_opened()
        waiting = self.sent()
        while waiting:
            waiting += self.confirm(waiting.pop(0))
        self.told.clear()

    def at(self, now: float) -> list[Any]:
        self.now = now
        return self.sent()


@pytest.fixture
def fleet() -> Fleet:
    """Three agents that are registered on one stream."""
    three = Fleet("a", "b", "c")
    three.connect()
    assert [each.state(0.0) for each in three.agents] == ["connected"] * 3
    return three


def ids(sent: list[Any]) -> list[str]:
    """Whose beats went up."""
    return [beat.service_id for message in sent if isinstance(message, Beats) for beat in message.beats]


def assert_unmoved(fleet: Fleet, *others: AgentSession) -> None:
    """Nothing happened to these agents, and their beats go on and are acknowledged."""
    assert fleet.stream.sending
    for other in others:
        assert fleet.kinds(other.service_id) == []
        assert other.state(fleet.now) == "connected"
    beating = ids(fleet.at(fleet.now + 1.0))
    assert {other.service_id for other in others} <= set(beating)
    fleet.receive(BeatAck(10_000))
    assert all(other.state(fleet.now) == "connected" for other in others)


# --- whether the registry offers sharing ----------------------------------------------------------------------------


def test_the_first_registration_finds_out_whether_sharing_is_offered() -> None:
    fleet = Fleet("a", "b", "c")
    fleet.stream.stream_opened()
    (first,) = fleet.sent()
    assert (first.service_id, first.shared) == ("a", "process")
    assert fleet.stream.offered is None
    others = fleet.confirm(first, 7)
    assert fleet.stream.offered
    assert [(each.service_id, each.shared) for each in others] == [("b", "process"), ("c", "process")]


def test_a_refusal_that_names_the_registration_offers_sharing_too() -> None:
    fleet = Fleet("a", "b")
    fleet.stream.stream_opened()
    (first,) = fleet.sent()
    (other,) = fleet.receive(Rejected("service.name", "is empty", "a", INVALID_REQUEST, first.instance_id))
    assert other.service_id == "b"
    assert fleet.kinds("a") == [happened.RegistrationRefused]
    assert fleet.kinds("b") == []


def test_without_the_offer_one_agent_keeps_the_stream_and_the_others_need_their_own() -> None:
    fleet = Fleet("a", "b", "c")
    fleet.stream.stream_opened()
    fleet.sent()
    assert fleet.receive(Registered("a", 7, "record")) == []
    assert fleet.stream.offered is False
    assert fleet.kinds("a") == [happened.RegistrationConfirmed]
    assert fleet.kinds("b") == fleet.kinds("c") == [happened.SharingNotOffered]
    assert fleet.stream.sessions == (fleet.agents[0],)
    with pytest.raises(ValueError, match="cannot be shared"):
        fleet.stream.join(fleet.agents[1])
    fleet.agents[0].goodbye("done")
    fleet.stream.poke(fleet.agents[0])
    assert fleet.sent() == [Goodbye("a", "done")], "as on a stream of its own"
    assert not fleet.stream.sending
    end = fleet.stream.stream_ended(None, 1.0, 0.5)
    assert (end.delay, end.agents) == (None, ((fleet.agents[0], Stop(left=True)),))


def test_an_error_of_a_stream_that_shares_nothing_yet_is_about_the_agent_that_registered() -> None:
    fleet = Fleet("a", "b")
    fleet.stream.stream_opened()
    fleet.sent()
    error = StreamError(INVALID_REQUEST, "no", fields=(("service.name", "too long"),))
    end = fleet.stream.stream_ended(error, 0.1, 0.5)
    (_, first), (_, other) = end.agents
    assert isinstance(first, Stop)
    assert isinstance(other, Reconnect)
    assert (end.delay, other.delay) == (0.05, 0.05)
    assert fleet.stream.sessions == (fleet.agents[1],)


def test_a_stream_of_its_own_names_no_process() -> None:
    fleet = Fleet("a", process="")
    fleet.stream.stream_opened()
    (register,) = fleet.sent()
    assert register.shared == ""
    fleet.receive(Registered("a", 7, "record", None, register.instance_id))
    (beats,) = fleet.at(1.0)
    assert beats.senders == (fleet.agents[0],)
    fleet.agents[0].goodbye("")
    fleet.stream.poke(fleet.agents[0])
    assert fleet.sent() == [Goodbye("a", "")]


# --- what belongs to the stream -------------------------------------------------------------------------------------


def test_beats_are_numbered_by_the_stream_and_due_ones_share_a_message(fleet: Fleet) -> None:
    (message,) = fleet.at(1.0)
    assert [(beat.service_id, beat.sequence) for beat in message.beats] == [("a", 1), ("b", 2), ("c", 3)]
    (message,) = fleet.at(2.0)
    assert [beat.sequence for beat in message.beats] == [4, 5, 6]


def test_an_acknowledgement_covers_every_beat_up_to_its_number(fleet: Fleet) -> None:
    fleet.at(1.0)
    fleet.receive(BeatAck(2))
    fleet.now = 2.5
    assert [each.state(2.5) for each in fleet.agents] == ["connected", "connected", "cut_off"]
    fleet.receive(BeatAck(3))
    assert fleet.agents[2].state(2.5) == "connected"


def test_a_message_carries_a_bounded_number_of_beats() -> None:
    fleet = Fleet(*(str(number) for number in range(MOST_TOGETHER + 50)))
    fleet.connect()
    assert [len(message.beats) for message in fleet.at(1.0)] == [MOST_TOGETHER, 50]


def test_the_end_of_a_shared_stream_stops_nobody_and_all_wait_equally(fleet: Fleet) -> None:
    fleet.now = 3.0
    end = fleet.stream.stream_ended(StreamError(SUPERSEDED, "about whom?"), 3.0, 0.5)
    assert end.delay == 0.05
    assert all(isinstance(then, Reconnect) and then.delay == 0.05 for _, then in end.agents)
    fleet.stream.stream_opened()
    (first,) = fleet.sent()
    assert first.incarnation == fleet.agents[0].incarnation > 0
    assert [each.service_id for each in fleet.confirm(first)] == ["b", "c"]
    assert fleet.at(4.0)[0].beats[0].sequence == 1, "each stream counts anew"


def test_waits_double_until_a_stream_lived_long_enough(fleet: Fleet) -> None:
    delays = []
    for _ in range(4):
        delays.append(fleet.stream.stream_ended(None, fleet.now, 1.0).delay)
        fleet.connect()
    assert delays == [0.1, 0.2, 0.4, 0.8]
    fleet.now += 10.0
    assert fleet.stream.stream_ended(None, fleet.now, 1.0).delay == 0.1


def test_a_drain_stops_the_sending_and_sets_the_wait(fleet: Fleet) -> None:
    fleet.receive(Drain(4.0))
    assert not fleet.stream.sending
    assert fleet.at(1.0) == []
    late = fleet.add("late")
    assert fleet.sent() == []
    end = fleet.stream.stream_ended(None, 1.0, 0.25)
    assert end.delay == 1.0
    assert all(isinstance(then, Reconnect) for _, then in end.agents)
    fleet.connect()
    assert late.state(fleet.now) == "connected"


def test_a_stream_that_acknowledges_nothing_is_dead_for_all(fleet: Fleet) -> None:
    moment = 0.0
    while not fleet.stream.is_dead and moment < 60.0:
        moment += 1.0
        fleet.at(moment)
    assert 30.0 <= moment <= 33.0
    assert not fleet.stream.sending
    assert [kind for _, kind in fleet.told].count(happened.StreamGivenUp()) == 1
    assert fleet.stream.stream_ended(None, moment, 0.0).delay is not None


def test_one_agent_that_reports_without_end_leaves_the_others_their_turn() -> None:
    fleet = Fleet(*"abcd")
    fleet.connect()
    noisy, quiet = fleet.agents[0], fleet.agents[1]
    up: list[Any] = []
    for number in range(100):
        noisy.report(Figures(message=str(number)), None, fleet.now, NOON)
        fleet.stream.poke(noisy)
        if number == 50:
            quiet.acknowledge("alert")
            fleet.stream.poke(quiet)
        if number == 70:
            fleet.now = 1.0
        up.append(fleet.stream.next_message(fleet.now))
    assert AlertAck(("alert",)) in up[50:52]
    assert {"b", "c", "d"} <= set(ids(up[70:72]))
    assert set(ids(up[72:])) == {"a"}


# --- what belongs to one agent: two others notice nothing -----------------------------------------------------------


def test_a_bad_first_registration_is_refused_alone(fleet: Fleet) -> None:
    bad = fleet.add("bad")
    (register,) = fleet.sent()
    fleet.receive(Rejected("service.name", "is empty", "bad", INVALID_REQUEST, register.instance_id))
    assert (bad.over, bad.refused) == (
        True,
        happened.RegistrationRefused("service.name: is empty", (("service.name", "is empty"),)),
    )
    assert bad not in fleet.stream.sessions
    assert_unmoved(fleet, *fleet.agents[:3])


@pytest.mark.parametrize("reason", [QUOTA, "ERROR_REASON_DRAINING", "ERROR_REASON_PERMISSION_DENIED"])
def test_a_refusal_that_may_pass_is_tried_again_with_backoff(fleet: Fleet, reason: str) -> None:
    one_more = fleet.add("d")
    (register,) = fleet.sent()
    refused = Rejected("", "not now", "d", reason, register.instance_id)
    assert fleet.receive(refused, draw=1.0) == []
    assert (one_more.state(0.0), one_more.last_error) == ("starting", "not now")
    assert fleet.kinds("d") == [happened.RegistrationDeferred]
    assert fleet.stream.deadline(0.0) == 0.2
    assert fleet.at(0.2) == [register], "the same registration, with its instance_id"
    fleet.receive(refused, draw=1.0)
    assert fleet.kinds("d") == [happened.RegistrationDeferred], "the cause is reported once"
    assert fleet.at(0.5) == []
    (register,) = fleet.at(0.7)
    fleet.confirm(register)
    assert one_more.state(0.7) == "connected"
    assert one_more.last_error == ""
    fleet.now = 0.0
    assert_unmoved(fleet, *fleet.agents[:3])


def test_a_refused_figure_is_reported_to_its_agent_alone(fleet: Fleet) -> None:
    fleet.receive(Rejected("beat.load", "is wrong", "a", INVALID_REQUEST))
    assert fleet.told == [("a", happened.FieldRejected("beat.load", "is wrong"))]
    assert_unmoved(fleet, *fleet.agents[1:])


def test_a_superseded_agent_stops_alone(fleet: Fleet) -> None:
    fleet.receive(Superseded(10**6, "a"))
    assert fleet.agents[0].state(0.0) == "superseded"
    assert fleet.kinds("a") == [happened.TakenOver]
    assert_unmoved(fleet, *fleet.agents[1:])
    assert "a" not in ids(fleet.at(2.0))


def test_an_unknown_service_registers_anew_alone(fleet: Fleet) -> None:
    (register,) = fleet.receive(UnknownService("b"))
    assert (register.service_id, register.incarnation, register.shared) == ("b", 0, "process")
    assert_unmoved(fleet, fleet.agents[0], fleet.agents[2])
    fleet.confirm(register, 10**6)
    assert fleet.agents[1].incarnation == 10**6


def test_alerts_and_deaths_are_given_to_their_recipient(fleet: Fleet) -> None:
    fleet.receive(Alert("1", "event", "b"))
    fleet.receive(Alert("2", "event", "name of c"))
    fleet.receive(DeclaredDown("event", "a"))
    fleet.receive(Alert("3", "event", "nobody"))
    assert [(each, type(event)) for each, event in fleet.told] == [
        ("b", happened.AlertReceived),
        ("c", happened.AlertReceived),
        ("a", happened.DownDeclared),
    ]


def test_a_goodbye_names_its_incarnation_and_is_done_when_the_registry_says_so(fleet: Fleet) -> None:
    leaving = fleet.agents[0]
    leaving.goodbye("done")
    fleet.stream.poke(leaving)
    assert fleet.sent() == [Goodbye("a", "done", leaving.incarnation)]
    assert not leaving.over
    fleet.receive(Left("a", leaving.incarnation + 1))
    assert not leaving.over
    fleet.receive(Left("a", leaving.incarnation))
    assert leaving.over
    assert fleet.kinds("a") == [happened.HasLeft]
    assert_unmoved(fleet, *fleet.agents[1:])


def test_a_goodbye_that_a_break_may_have_swallowed_is_said_again(fleet: Fleet) -> None:
    leaving = fleet.agents[0]
    leaving.goodbye("done")
    fleet.stream.poke(leaving)
    fleet.sent()
    fleet.stream.stream_ended(None, 1.0, 0.5)
    fleet.stream.stream_opened()
    (register,) = fleet.sent()
    assert register.incarnation == leaving.incarnation
    assert Goodbye("a", "done", leaving.incarnation) in fleet.confirm(register)


def test_a_goodbye_that_had_arrived_before_the_break_is_not_undone(fleet: Fleet) -> None:
    leaving = fleet.agents[0]
    leaving.goodbye("done")
    fleet.stream.poke(leaving)
    fleet.sent()
    fleet.stream.stream_ended(None, 1.0, 0.5)
    fleet.stream.stream_opened()
    fleet.sent()
    assert [each.service_id for each in fleet.receive(UnknownService("a"))] == ["b"], "a is not registered again"
    assert leaving.over
    assert leaving.state(1.0) != "superseded"


def test_a_goodbye_waits_for_the_answer_to_the_registration(fleet: Fleet) -> None:
    late = fleet.add("late")
    (register,) = fleet.sent()
    assert late.goodbye("at once")
    fleet.stream.poke(late)
    assert fleet.sent() == []
    assert fleet.confirm(register, 99) == [Goodbye("late", "at once", 99)]


def test_an_abandoned_agent_is_said_to_have_broken_off(fleet: Fleet) -> None:
    given_up = fleet.agents[0]
    assert not fleet.stream.abandon(given_up)
    assert fleet.sent() == [Abandoned("a", given_up.incarnation)]
    assert_unmoved(fleet, *fleet.agents[1:])


def test_an_agent_that_is_abandoned_before_its_answer_breaks_off_after_it(fleet: Fleet) -> None:
    given_up = fleet.add("d")
    (register,) = fleet.sent()
    fleet.stream.abandon(given_up)
    assert fleet.sent() == []
    assert fleet.confirm(register, 99) == [Abandoned("d", 99)]
    assert fleet.kinds("d") == []


def test_the_last_agent_breaks_the_stream_when_it_is_abandoned() -> None:
    fleet = Fleet("a")
    fleet.connect()
    assert fleet.stream.abandon(fleet.agents[0])
    assert fleet.stream.stream_ended(None, 1.0, 0.5).delay is None


def test_an_agent_that_is_abandoned_before_sharing_is_known_breaks_the_stream_of_nobody_else() -> None:
    fleet = Fleet("a", "b")
    fleet.stream.stream_opened()
    fleet.sent()
    assert fleet.stream.abandon(fleet.agents[0])
    assert fleet.sent() == []
    assert not fleet.stream.sending
    assert fleet.stream.stream_ended(None, 0.1, 0.5).delay is not None
    fleet.stream.stream_opened()
    assert [each.service_id for each in fleet.sent()] == ["b"]


def test_a_second_agent_with_the_same_id_supersedes_the_first_on_the_same_stream(fleet: Fleet) -> None:
    older, newer = fleet.agents[0], fleet.add("a")
    (register,) = fleet.sent()
    assert (register.service_id, register.incarnation) == ("a", 0)
    fleet.receive(Superseded(10**6, "a"))
    assert older.state(0.0) == "superseded"
    fleet.receive(Superseded(10**6, "a"))  # a beat of the older one was on its way
    assert not newer.over
    fleet.confirm(register, 10**6)
    fleet.receive(Superseded(10**6, "a"))
    assert newer.state(0.0) == "connected"
    fleet.told.clear()
    assert_unmoved(fleet, newer, *fleet.agents[1:3])


def test_the_goodbye_of_a_superseded_agent_removes_nothing(fleet: Fleet) -> None:
    older, newer = fleet.agents[0], fleet.add("a")
    (register,) = fleet.sent()
    older.goodbye("")
    fleet.stream.poke(older)
    assert fleet.sent() == [Goodbye("a", "", older.incarnation)]
    fleet.confirm(register, 10**6)
    fleet.receive(Superseded(10**6, "a"))
    assert older.over
    assert older.state(0.0) != "superseded", "it was leaving anyway"
    assert newer.state(0.0) == "connected"


def test_a_registration_that_a_newer_one_has_overtaken_stops(fleet: Fleet) -> None:
    late = fleet.add("late")
    fleet.sent()
    fleet.receive(Superseded(10**6, "late"))
    assert late.state(0.0) == "starting", "the registry cannot know this registration yet"
    fleet.stream.stream_ended(None, 1.0, 0.5)
    fleet.stream.stream_opened()
    (first,) = fleet.sent()
    fleet.confirm(first)
    fleet.receive(Superseded(10**6, "late"))
    assert late.state(1.0) == "superseded"


def test_a_registration_that_alone_stays_unanswered_is_sent_again(fleet: Fleet) -> None:
    slow = fleet.add("slow")
    (register,) = fleet.sent()
    for second in range(1, int(ANSWER_PATIENCE) + 1):
        again = [each for each in fleet.at(float(second)) if isinstance(each, Register)]
        fleet.receive(BeatAck(10_000))
    assert again == [register]
    assert not fleet.stream.is_dead
    assert fleet.kinds("slow") == []
    assert slow.state(fleet.now) == "starting"


def test_an_id_that_the_registry_assigns_is_known_from_then_on(fleet: Fleet) -> None:
    fleet.add("")
    (register,) = fleet.sent()
    fleet.receive(Registered("assigned", 99, "record", None, register.instance_id))
    fleet.receive(Alert("1", "event", "assigned"))
    assert fleet.kinds("assigned") == [happened.RegistrationConfirmed, happened.AlertReceived]


def test_each_agent_asks_for_the_acknowledgement_that_it_needs() -> None:
    fleet = Fleet("a")
    fleet.connect()
    (message,) = fleet.at(1.0)
    (beat,) = message.beats
    assert isinstance(beat, Beat)
    assert beat.ack_requested


# --- beats in columns -----------------------------------------------------------------------------------------------


def with_columns(*ids: str, process: str = "process") -> Fleet:
    """Agents on a stream of a registry that reads columns, each of which has reported once."""
    fleet = Fleet(*ids, process=process)
    fleet.stream.stream_opened()
    waiting = fleet.sent()
    while waiting:
        message = waiting.pop(0)
        for register in message.registers if isinstance(message, Registers) else (message,):
            word = register.instance_id if process else ""
            held = Registered(register.service_id, next(WORDS), "record", None, word, batches=True)
            waiting += fleet.receive(held)
    (reported,) = fleet.at(1.0)
    assert (len(reported.beats), reported.alive) == (len(ids), ())
    return fleet


@pytest.mark.parametrize("process", ["process", ""], ids=["shared", "own"])
def test_beats_that_report_nothing_new_travel_in_columns(process: str) -> None:
    ids = ("a", "b", "c") if process else ("a",)
    fleet = with_columns(*ids, process=process)
    (message,) = fleet.at(2.0)
    assert (message.beats, [beat.service_id for beat in message.alive]) == ((), list(ids))
    assert message.senders == tuple(fleet.agents)
    fleet.receive(BeatAck(2 * len(ids)))
    assert all(each.state(4.0) == "connected" for each in fleet.agents)


def test_what_is_new_is_reported_once_on_each_stream() -> None:
    fleet = with_columns("a", "b")
    fleet.agents[0].report(Figures(load=0.5), None, 1.5, NOON)
    (message,) = fleet.at(2.0)
    assert [beat.service_id for beat in message.beats] == ["a"]
    assert [beat.service_id for beat in message.alive] == ["b"]
    assert message.senders == tuple(fleet.agents)
    (message,) = fleet.at(3.0)
    assert message.beats == ()
    fleet.agents[1].report(Figures(), 5.0, 3.5, NOON)
    (message,) = fleet.at(4.0)
    assert [beat.service_id for beat in message.beats] == ["b"]
    fleet.stream.stream_ended(None, 4.5, 0.5)
    fleet.connect()
    messages_sent = fleet.at(6.0)
    assert sorted(ids(messages_sent)) == ["a", "b"]
    assert all(message.alive == () for message in messages_sent), "this registry has not announced that it reads them"


def test_an_incarnation_that_is_not_registered_any_more_is_the_concern_of_its_agent() -> None:
    fleet = with_columns("a", "b")
    held = fleet.agents[0].incarnation
    (again,) = fleet.receive(UnknownService("a", held))
    assert (again.service_id, again.incarnation) == ("a", 0)
    assert fleet.receive(UnknownService("a", held)) == [], "one registration answers all of them"
    fleet.confirm(again)
    assert fleet.receive(UnknownService("a", held)) == [], "the new one is registered"
    assert_unmoved_column(fleet, fleet.agents[1])


def test_an_incarnation_that_is_not_remembered_is_asked_for_and_not_replaced() -> None:
    fleet = with_columns("a", "b")
    held = fleet.agents[0].incarnation
    (again,) = fleet.receive(UnknownService("", held))
    assert (again.service_id, again.incarnation) == ("a", held)
    assert fleet.receive(UnknownService("", held)) == []
    fleet.receive(Superseded(held + 1000, "a"))
    assert fleet.agents[0].over
    assert_unmoved_column(fleet, fleet.agents[1])


def assert_unmoved_column(fleet: Fleet, other: AgentSession) -> None:
    """Nothing happened to this agent, and it beats on."""
    assert fleet.kinds(other.service_id) in ([], [happened.RegistrationConfirmed])
    sent = fleet.at(fleet.now + 1.0)
    assert other.service_id in [beat.service_id for message in sent for beat in message.alive]


# --- registrations together -----------------------------------------------------------------------------------------


def test_agents_that_start_together_register_in_one_message() -> None:
    fleet = Fleet("a", *(f"b{number}" for number in range(MOST_TOGETHER + 1)))
    fleet.stream.stream_opened()
    (first,) = fleet.sent()
    many, last = fleet.receive(Registered("a", 7, "record", None, first.instance_id, batches=True))
    assert [each.service_id for each in many.registers] == [f"b{number}" for number in range(MOST_TOGETHER)]
    assert (type(last), last.service_id) == (Register, f"b{MOST_TOGETHER}")
    assert all(each.shared == "process" for each in many.registers)
    assert fleet.sent() == []


def test_without_the_offer_each_registers_in_a_message_of_its_own() -> None:
    fleet = Fleet("a", "b", "c")
    fleet.stream.stream_opened()
    (first,) = fleet.sent()
    assert [type(each) for each in fleet.confirm(first, 7)] == [Register, Register]


def test_of_registrations_in_one_message_each_is_answered_alone() -> None:
    fleet = Fleet("a", "b", "c", "d")
    fleet.stream.stream_opened()
    (first,) = fleet.sent()
    (many,) = fleet.receive(Registered("a", 7, "record", None, first.instance_id, batches=True))
    refused, deferred, good = many.registers
    fleet.receive(Rejected("service.name", "is wrong", "b", INVALID_REQUEST, refused.instance_id))
    fleet.receive(Rejected("", "too many", "c", QUOTA, deferred.instance_id))
    fleet.receive(Registered("d", 9, "record", None, good.instance_id, batches=True))
    assert fleet.agents[1].refused is not None
    assert fleet.agents[3].state(0.0) == "connected"
    (again,) = fleet.at(0.5)
    assert (again.service_id, again.instance_id) == ("c", deferred.instance_id)


def test_registrations_that_stay_unanswered_in_one_message_are_sent_again() -> None:
    fleet = Fleet("a", "b", "c")
    fleet.stream.stream_opened()
    (first,) = fleet.sent()
    (many,) = fleet.receive(Registered("a", 7, "record", None, first.instance_id, batches=True))
    fleet.at(1.0)
    for second in range(1, int(ANSWER_PATIENCE)):
        fleet.at(float(second))
        fleet.receive(BeatAck(10_000))
    sent = fleet.at(ANSWER_PATIENCE + 0.5)
    again = [each for message in sent for each in getattr(message, "registers", (message,))]
    words = {each.instance_id for each in again if isinstance(each, Register)}
    assert words == {each.instance_id for each in many.registers}


def test_an_agent_that_is_abandoned_before_the_answer_is_abandoned_at_the_registry_too() -> None:
    fleet = Fleet("a", "b", "c")
    fleet.stream.stream_opened()
    (first,) = fleet.sent()
    (many,) = fleet.receive(Registered("a", 7, "record", None, first.instance_id, batches=True))
    assert not fleet.stream.abandon(fleet.agents[1])
    assert fleet.receive(Registered("b", 8, "record", None, many.registers[0].instance_id, batches=True)) == [
        Abandoned("b", 8)
    ]
