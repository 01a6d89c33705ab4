"""Agents move from a stream that is about to end to the next one: first one of them, then the others."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tron_client.protocol.answers import Alert, Drain, Left, Registered, Rejected, Superseded
from tron_client.protocol.handover import Handover
from tron_client.protocol.messages import Beats, Register, Registers
from tron_client.protocol.session import AgentSession
from tron_client.protocol.shared_stream import SharedStream

WORDS = itertools.count(1)
DENIED = "ERROR_REASON_PERMISSION_DENIED"


class Registry:
    """Knows on which stream each service registered last."""

    def __init__(self) -> None:
        self.now = 0.0
        self.carried_by: dict[str, SharedStream] = {}
        self.incarnations: dict[str, int] = {}
        self.beats: list[tuple[str, SharedStream]] = []

    def sent(self, stream: SharedStream) -> list[Any]:
        """All that an agent's side sends now; the registry notes beats."""
        found = list(iter(lambda: stream.next_message(self.now), None))
        for message in found:
            if isinstance(message, Beats):
                self.beats += [(each.service_id, stream) for each in (*message.beats, *message.alive)]
        return found

    def registers(self, stream: SharedStream) -> list[Register]:
        """The registrations that are sent now."""
        found: list[Register] = []
        for message in self.sent(stream):
            if isinstance(message, Register):
                found.append(message)
            elif isinstance(message, Registers):
                found += message.registers
        return found

    def answer(self, stream: SharedStream, register: Register) -> None:
        """Attach a service to the stream, and confirm it."""
        held = register.incarnation or next(WORDS)
        assert self.incarnations.setdefault(register.service_id, held) == held, "no new incarnation"
        self.carried_by[register.service_id] = stream
        told = Registered(register.service_id, held, "record", None, register.instance_id, batches=True)
        stream.receive(told, self.now, 0.5)

    def serve(self, stream: SharedStream) -> None:
        """Answer all registrations on a stream."""
        while waiting := self.registers(stream):
            for register in waiting:
                self.answer(stream, register)


class Move:
    """Two streams of one process, the first with agents that are registered."""

    def __init__(self, *ids: str, process: str = "process") -> None:
        self.registry = Registry()
        self.former, self.following = SharedStream(process), SharedStream(process)
        self.agents = [AgentSession("declared", each, 1.0, lambda: f"word {next(WORDS)}") for each in ids]
        for agent in self.agents:
            self.former.join(agent, f"name of {agent.service_id}")
        self.former.stream_opened()
        self.registry.serve(self.former)
        self.handover = Handover(self.former, self.following)

    def begin(self) -> list[str]:
        """Open the next stream; return which agents register on it."""
        self.handover.begin()
        self.following.stream_opened()
        return [each.service_id for each in self.following.sessions]

    def carried(self) -> list[SharedStream]:
        """By which stream each agent is carried, by its last registration."""
        return [self.registry.carried_by[each.service_id] for each in self.agents]


@pytest.fixture
def move() -> Move:
    """Three agents on one stream."""
    return Move("a", "b", "c")


def test_one_agent_goes_first_while_the_others_go_on(move: Move) -> None:
    assert move.begin() == ["a"]
    assert move.handover.advance() == ()
    move.registry.now = 1.0
    move.registry.sent(move.former)
    assert move.registry.beats == [("b", move.former), ("c", move.former)]
    assert [each.state(1.0) for each in move.agents] == ["connected"] * 3


def test_the_others_follow_once_the_first_is_registered_and_the_former_stream_stays_until_all_are(move: Move) -> None:
    move.begin()
    move.registry.serve(move.following)
    assert [each.service_id for each in move.handover.advance()] == ["b", "c"]
    assert not move.handover.complete
    assert (len(move.former), move.former.sending) == (0, True)
    move.registry.serve(move.following)
    assert move.handover.complete
    move.handover.finish()
    assert not move.former.sending
    assert move.carried() == [move.following] * 3
    move.registry.now = 1.0
    move.registry.sent(move.following)
    assert {service_id for service_id, _ in move.registry.beats} == {"a", "b", "c"}


def test_the_program_is_not_told_of_a_move(move: Move) -> None:
    move.begin()
    (register,) = move.registry.registers(move.following)
    told = Registered("a", register.incarnation, "record", None, register.instance_id)
    ((_, (confirmed,)),) = move.following.receive(told, 0.0, 0.5)
    assert not confirmed.first  # type: ignore[union-attr]


def test_an_agent_with_a_stream_of_its_own_moves_too() -> None:
    move = Move("a", process="")
    assert move.begin() == ["a"]
    assert move.handover.advance() == ()
    assert move.former.sending
    move.registry.serve(move.following)
    assert move.handover.advance() == ()
    assert move.handover.complete


def test_the_first_agent_returns_if_the_next_stream_does_not_register_it(move: Move) -> None:
    move.begin()
    move.registry.registers(move.following)  # no answer comes
    assert [each.service_id for each in move.handover.give_back()] == ["a"]
    move.registry.serve(move.former)
    assert move.carried() == [move.former] * 3
    assert [each.state(0.0) for each in move.agents] == ["connected"] * 3
    assert move.former.sending
    assert len(move.following) == 0


def test_agents_that_are_registered_stay_on_the_next_stream_when_the_others_return(move: Move) -> None:
    move.begin()
    move.registry.serve(move.following)
    move.handover.advance()
    waiting = move.registry.registers(move.following)
    move.registry.answer(move.following, waiting[0])
    assert not move.handover.complete
    assert [each.service_id for each in move.handover.give_back()] == ["c"]
    move.registry.serve(move.former)
    assert move.carried() == [move.following, move.following, move.former]


def test_the_only_agent_returns_to_a_stream_that_waited_for_it() -> None:
    move = Move("a", process="")
    move.begin()
    assert move.former.sending, "it is held open without agents"
    move.handover.give_back()
    move.registry.serve(move.former)
    assert move.carried() == [move.former]
    assert move.former.sending


def test_an_agent_that_was_not_registered_before_is_not_waited_for(move: Move) -> None:
    denied = AgentSession("declared", "denied", 1.0, lambda: f"word {next(WORDS)}")
    move.former.join(denied)
    (register,) = move.registry.registers(move.former)
    refusal = Rejected("", "no right", "denied", DENIED, register.instance_id)
    move.former.receive(refusal, 0.0, 0.5)
    move.begin()
    move.registry.serve(move.following)
    assert denied in move.handover.advance()
    for register in move.registry.registers(move.following):
        if register.service_id != "denied":
            move.registry.answer(move.following, register)
    assert move.handover.complete


def test_an_agent_whose_registration_is_on_its_way_moves_once_it_is_answered(move: Move) -> None:
    late = AgentSession("declared", "late", 1.0, lambda: f"word {next(WORDS)}")
    move.former.join(late)
    (register,) = move.registry.registers(move.former)
    move.begin()
    move.registry.serve(move.following)
    assert late not in move.handover.advance(), "the former stream would carry it again"
    move.registry.serve(move.following)
    assert not move.handover.complete
    move.registry.answer(move.former, register)
    assert move.handover.advance() == (late,)
    move.registry.serve(move.following)
    assert move.handover.complete


def test_an_agent_that_says_goodbye_meanwhile_ends_where_it_said_it(move: Move) -> None:
    leaver = move.agents[1]
    leaver.goodbye("done")
    move.former.poke(leaver)
    move.registry.sent(move.former)
    move.begin()
    move.registry.serve(move.following)
    assert leaver not in move.handover.advance()
    move.registry.serve(move.following)
    move.former.receive(Left("b", leaver.incarnation), 0.0, 0.5)
    assert move.handover.complete
    assert leaver.over


def test_what_the_former_stream_says_of_an_agent_that_moved_is_ignored(move: Move) -> None:
    move.begin()
    incarnation = move.agents[0].incarnation
    for message in (Superseded(incarnation + 100, "a"), Alert("alert", None, "a")):
        assert move.former.receive(message, 0.0, 0.5) == []
    move.registry.serve(move.following)
    assert move.agents[0].state(0.0) == "connected"


def test_a_stream_that_is_asked_to_move_goes_on(move: Move) -> None:
    told = move.former.receive(Drain(0.0, ends_after=60.0, renews=True), 2.0, 0.5)
    assert told == []
    assert move.former.renewal is not None
    assert (move.former.renewal.ends_at, move.former.renewal.renews) == (62.0, True)
    assert move.former.sending
    move.registry.now = 1.0
    move.registry.sent(move.former)
    assert len(move.registry.beats) == 3
