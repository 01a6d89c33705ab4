"""The decisions of AgentSession, with a clock that is a number: the heartbeat protocol without a stream."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from tron_client.protocol import answers, happened, messages
from tron_client.protocol.answers import BeatAck, Drain, Registered, Rejected, StreamError, UnknownService
from tron_client.protocol.registration import INVALID_REQUEST
from tron_client.protocol.report import Figures
from tron_client.protocol.send_queue import ANSWER_PATIENCE
from tron_client.protocol.session import SUPERSEDED, UNKNOWN_INCARNATION, AgentSession

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def new_session(interval: float = 1.0, status: str = "ok") -> AgentSession:
    words = map(str, itertools.count(1))
    return AgentSession("declared", "a", interval, lambda: next(words), status)


def sent(session: AgentSession, now: float) -> list[messages.Outgoing]:
    """All that goes up now."""
    return list(iter(lambda: session.next_message(now), None))


def registered_session(now: float = 0.0, incarnation: int = 7, interval: float = 1.0) -> AgentSession:
    session = new_session(interval)
    attach(session, now, incarnation)
    return session


def attach(session: AgentSession, now: float, incarnation: int = 7) -> None:
    """Open a stream, register, be answered."""
    session.stream_opened()
    sent(session, now)
    session.receive(Registered("a", incarnation, "record"), now)


def beat(session: AgentSession, now: float) -> messages.Beat:
    """The beat that goes up now, alone."""
    (message,) = sent(session, now)
    assert isinstance(message, messages.Beat)
    return message


def test_it_registers_without_an_incarnation_and_beats_on_a_grid() -> None:
    session = new_session()
    assert session.state(0.0) == "starting"
    session.stream_opened()
    assert sent(session, 0.0) == [messages.Register("declared", "a", 0, "1")]
    assert session.receive(Registered("a", 7, "record"), 0.2) == [happened.RegistrationConfirmed("record", first=True)]
    assert (session.state(0.2), session.incarnation, session.service) == ("connected", 7, "record")
    assert session.deadline(0.2) == 1.0
    assert beat(session, 1.3).sequence == 1
    assert session.deadline(1.3) == 2.0
    assert beat(session, 2.0).sequence == 2


def test_an_answer_that_comes_twice_is_the_first_only_once() -> None:
    session = registered_session()
    assert session.receive(Registered("a", 7, "new"), 0.3) == [happened.RegistrationConfirmed("new", first=False)]


def test_a_broken_stream_is_followed_by_one_that_carries_the_same_incarnation() -> None:
    session = registered_session()
    assert beat(session, 1.0).sequence == 1
    then = session.stream_ended(StreamError("", "connection reset"), 6.0, 0.5)
    assert then == happened.Reconnect(0.05, was_registered=True)
    assert session.state(6.0) == "cut_off"
    assert session.last_error == "connection reset"
    session.stream_opened()
    assert sent(session, 6.1) == [messages.Register("declared", "a", 7, "1")]
    session.receive(Registered("a", 7, "record"), 6.2)
    assert session.last_error == ""
    assert beat(session, 7.1).sequence == 1, "sequences count from the beginning of a stream"


def test_waits_double_until_a_stream_lived_long_enough() -> None:
    session = registered_session()
    delays = []
    for now in (1.0, 2.0, 3.0, 10.0):
        then = session.stream_ended(None, now, 1.0)
        assert isinstance(then, happened.Reconnect)
        delays.append(then.delay)
        attach(session, now)
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.1])


def test_a_draining_registry_sets_the_wait_and_nothing_more_is_sent_to_it() -> None:
    session = registered_session()
    assert session.receive(Drain(4.0), 0.5) == [happened.DrainBegan()]
    assert not session.sending
    assert sent(session, 3.0) == []
    assert session.stream_ended(None, 3.0, 0.25) == happened.Reconnect(1.0, drained=True, was_registered=True)
    assert session.stream_ended(None, 3.0, 0.5) == happened.Reconnect(2.0, drained=True), "until a stream is opened"


def test_an_unknown_service_registers_once_with_a_new_word_and_does_not_beat_before() -> None:
    session = registered_session()
    assert session.receive(UnknownService(), 0.9) == [happened.ServiceUnknown(7)]
    assert session.receive(UnknownService(), 0.9) == [happened.ServiceUnknown(0)]
    assert sent(session, 2.0) == [messages.Register("declared", "a", 0, "2")]
    assert sent(session, 3.0) == []
    session.receive(Registered("a", 8, "record"), 3.1)
    assert beat(session, 3.1).incarnation == 8


def test_an_unknown_incarnation_that_ends_the_stream_is_forgotten() -> None:
    session = registered_session()
    assert isinstance(session.stream_ended(StreamError(UNKNOWN_INCARNATION, "gone"), 1.0, 0.0), happened.Reconnect)
    session.stream_opened()
    assert sent(session, 1.0) == [messages.Register("declared", "a", 0, "2")]


@pytest.mark.parametrize("by", ["message", "end of the stream"])
@pytest.mark.parametrize("expected", [False, True])
def test_a_superseded_session_is_over_and_only_an_expected_successor_is_no_alarm(by: str, expected: bool) -> None:
    session = registered_session()
    if expected:
        session.hand_over()
    taken = happened.TakenOver(9, expected=expected)
    if by == "message":
        assert session.receive(answers.Superseded(9), 1.0) == [taken]
        assert session.stream_ended(None, 1.0, 0.5) == happened.Stop()
    else:
        assert session.stream_ended(StreamError(SUPERSEDED, "no", 9), 1.0, 0.5) == happened.Stop(taken)
    assert (session.over, session.superseded_by) == (True, 9)
    assert sent(session, 2.0) == [], "no beat for an id that another one holds"
    session.finish()
    assert session.state(1.0) == ("stopped" if expected else "superseded")
    assert session.receive(answers.Superseded(10), 1.0) == ()


@pytest.mark.parametrize("by", ["message", "end of the stream"])
def test_a_first_registration_that_is_refused_ends_the_session(by: str) -> None:
    session = new_session()
    session.stream_opened()
    sent(session, 0.0)
    if by == "message":
        refused = happened.RegistrationRefused("name: too long", (("name", "too long"),))
        assert session.receive(Rejected("name", "too long"), 0.1) == [refused]
    else:
        refused = happened.RegistrationRefused("bad", (("name", "too long"),))
        error = StreamError(INVALID_REQUEST, "bad", fields=(("name", "too long"),))
        assert session.stream_ended(error, 0.1, 0.0) == happened.Stop(refused)
    assert session.refused == refused
    assert session.over
    assert session.last_error == refused.message


def test_what_is_refused_later_is_reported_once_for_each_field_and_ends_nothing() -> None:
    session = registered_session()
    rejected = Rejected("beat.progress", "must be at most 1")
    assert session.receive(rejected, 1.0) == [happened.FieldRejected("beat.progress", "must be at most 1")]
    assert session.receive(rejected, 2.0) == ()
    session.stream_ended(None, 3.0, 0.0)
    session.stream_opened()
    sent(session, 3.0)
    assert session.receive(Rejected("service.name", "busy"), 3.1) == (), "a passing refusal of what was known before"
    assert not session.over
    assert isinstance(session.stream_ended(StreamError(INVALID_REQUEST, "bad"), 4.0, 0.0), happened.Reconnect)


def test_the_goodbye_is_the_last_message_and_ends_the_session_with_the_stream() -> None:
    session = registered_session()
    session.acknowledge("alert")
    assert session.goodbye("done")
    assert sent(session, 0.5) == [messages.AlertAck(("alert",)), messages.Goodbye("a", "done")]
    assert session.goodbye_sent
    assert not session.sending
    assert not session.over
    assert sent(session, 5.0) == []
    assert session.stream_ended(None, 5.0, 0.5) == happened.Stop(left=True)
    session.finish()
    assert session.state(5.0) == "stopped"


def test_a_goodbye_without_a_stream_waits_for_the_next_one() -> None:
    session = registered_session()
    session.stream_ended(None, 1.0, 0.0)
    assert session.goodbye("done")
    session.stream_opened()
    assert sent(session, 1.0) == [messages.Register("declared", "a", 7, "1"), messages.Goodbye("a", "done")]


@pytest.mark.parametrize("opened", [False, True])
def test_a_service_that_no_registry_can_know_leaves_without_a_goodbye(opened: bool) -> None:
    session = new_session()
    if opened:
        session.stream_opened()
    assert not session.goodbye("done")
    assert session.over
    assert sent(session, 0.0) == []


def test_a_registration_that_is_on_its_way_is_followed_by_the_goodbye() -> None:
    session = new_session()
    session.stream_opened()
    sent(session, 0.0)
    assert session.goodbye("done")
    assert sent(session, 0.1) == [messages.Goodbye("a", "done")]


def test_a_cut_off_is_noticed_once_and_ends_with_an_acknowledgement() -> None:
    session = registered_session(interval=10.0)
    for now in (10.0, 20.0):
        beat(session, now)
        assert session.take_happened() == ()
    assert session.state(20.1) == "cut_off"
    beat(session, 30.0)
    assert session.take_happened() == [happened.CutOffNoticed(20.0)]
    beat(session, 40.0)
    assert session.take_happened() == ()
    session.receive(BeatAck(4), 40.1)
    assert session.state(40.1) == "connected"


def test_a_stream_is_given_up_when_several_beats_stay_unanswered() -> None:
    session = registered_session(interval=10.0)
    for now in (10.0, 20.0, 30.0, 40.0, 50.0):
        assert sent(session, now)
    session.take_happened()
    assert sent(session, 60.0) == []
    assert session.take_happened() == [happened.StreamGivenUp()]
    assert not session.sending
    assert session.deadline(60.0) is None
    assert session.stream_ended(None, 60.0, 0.0) == happened.Reconnect(0.0, was_registered=True)
    session.stream_opened()
    assert session.sending


def test_a_stream_on_which_the_registration_stays_unanswered_is_given_up() -> None:
    session = new_session()
    session.stream_opened()
    sent(session, 5.0)
    assert session.deadline(5.0) == 5.0 + ANSWER_PATIENCE
    assert sent(session, 5.0 + ANSWER_PATIENCE) == []
    assert session.take_happened() == [happened.StreamGivenUp()]


def test_after_a_stop_of_the_process_one_beat_leaves_and_the_stream_is_kept() -> None:
    session = registered_session()
    beat(session, 1.0)
    assert beat(session, 600.5).sequence == 2
    assert session.deadline(600.5) == 601.0
    assert session.sending


def test_slow_beats_ask_for_their_acknowledgement() -> None:
    assert beat(registered_session(interval=1.0), 1.0).ack_requested
    assert not beat(registered_session(interval=0.5), 0.5).ack_requested


def test_a_new_status_or_message_leaves_at_once_and_figures_wait_for_the_next_beat() -> None:
    session = registered_session(interval=30.0)
    assert not session.report(Figures(load=0.5), None, 1.0, NOON)
    session.advance(3)
    assert session.deadline(1.0) == 30.0
    assert session.report(Figures(status="running"), None, 2.0, NOON)
    assert session.deadline(2.0) == 2.0
    message = beat(session, 2.0)
    assert (message.figures, message.activity) == (Figures(status="running", load=0.5), 3)
    assert not session.report(Figures(status="running"), None, 3.0, NOON)
    assert session.report(Figures(message="step 2"), None, 3.0, NOON)


def test_a_status_that_is_not_ok_is_sent_at_once_on_each_stream() -> None:
    session = new_session(30.0, "degraded")
    attach(session, 0.0)
    assert beat(session, 0.0).figures.status == "degraded"
    session.stream_ended(None, 1.0, 0.0)
    attach(session, 1.0)
    assert beat(session, 1.0).figures.status == "degraded"


@pytest.mark.parametrize(("reception", "again"), [("taken", False), ("open", False), ("acknowledged", True)])
def test_an_alert_that_was_acknowledged_before_is_acknowledged_again(reception: str, again: bool) -> None:
    session = registered_session()
    assert session.receive(answers.Alert("x", "event"), 0.5) == [happened.AlertReceived("x", "event")]
    session.alert_offered("x", reception)
    assert sent(session, 0.5) == ([messages.AlertAck(("x",))] if again else [])


def test_an_emptied_inbox_attaches_again_on_the_same_stream_and_beats_go_on() -> None:
    session = registered_session()
    session.inbox_emptied()
    assert sent(session, 0.5) == [messages.Register("declared", "a", 7, "1")]
    assert beat(session, 1.0).sequence == 1
    session.stream_ended(None, 1.5, 0.0)
    session.inbox_emptied()
    assert sent(session, 1.5) == []


def test_each_trouble_is_reported_once_until_the_next_registration() -> None:
    session = new_session()
    error = StreamError("ERROR_REASON_QUOTA_EXCEEDED", "too many")
    first, second = session.stream_ended(error, 1.0, 0.0), session.stream_ended(error, 2.0, 0.0)
    assert [first, second] == [happened.Reconnect(0.0, trouble="too many"), happened.Reconnect(0.0)]
    assert session.last_error == "too many"
    assert session.hindered("nothing answers")
    attach(session, 3.0)
    assert session.last_error == ""
    assert not session.hindered("nothing answers"), "while registered nothing is in the way"
    session.stream_ended(None, 4.0, 0.0)
    assert session.hindered("nothing answers")


def test_a_service_that_was_declared_down_learns_it_and_goes_on() -> None:
    session = registered_session()
    assert session.receive(answers.DeclaredDown("event"), 0.5) == [happened.DownDeclared("event")]
    assert not session.over


def test_a_fork_leaves_the_stream_to_the_parent() -> None:
    session = registered_session()
    session.acknowledge("alert")
    session.after_fork(started=True)
    assert (session.over, session.sending, session.state(1.0)) == (True, False, "stopped")
    other = new_session()
    other.after_fork(started=False)
    other.stream_opened()
    assert sent(other, 1.0) == [messages.Register("declared", "a", 0, "2")], "a word of its own"


def test_an_abandoned_session_sends_nothing_more() -> None:
    session = registered_session()
    session.abandon()
    assert sent(session, 5.0) == []
    assert session.stream_ended(None, 5.0, 0.5) == happened.Stop()


def test_a_message_about_the_former_incarnation_does_not_stop_a_new_registration() -> None:
    session = registered_session()
    session.receive(UnknownService(), 1.0)
    sent(session, 1.0)
    assert session.receive(answers.Superseded(9), 1.0) == ()
    session.receive(Registered("a", 12, "record"), 1.0)
    assert (session.over, session.incarnation) == (False, 12)


def test_a_new_registration_that_an_earlier_stream_may_have_brought_can_be_overtaken() -> None:
    session = new_session()
    session.stream_opened()
    sent(session, 0.0)
    session.stream_ended(None, 0.1, 0.0)
    session.stream_opened()
    sent(session, 0.1)
    session.receive(answers.Superseded(9), 0.2)
    assert session.state(0.2) == "superseded"
