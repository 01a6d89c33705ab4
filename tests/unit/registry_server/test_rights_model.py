"""Whatever callers with overlapping grants send: nobody acts as a service of another owner, or receives its alerts."""

from __future__ import annotations

from typing import Any

from grid_model.access import Principal
from grid_model.errors import InvalidRequest, ServiceNotFound
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from registry_server.core.columns import Columns
from registry_server.core.effects import Alert, DeclaredDown, Registered
from registry_server.core.stream_messages import Abandoned, AlertAck, Beats, Goodbye
from tests.support.end_stream import end_stream
from tests.unit.registry_server.builders import make_event
from tests.unit.registry_server.test_agent_stream import Beat
from tests.unit.registry_server.test_rights import principal
from tests.unit.registry_server.test_stream_rights import Streams, register

IDS = ("a-1", "a-2", "ab", "b", "boss")
AGENTS = (
    principal("one", "agent a*"),
    principal("two", "agent a-*", "agent boss"),
    principal("pod-1", "agent *", group="team"),
    principal("pod-2", "agent a*", "agent b*", group="team"),
)
RELAY = principal("relay", "relay a*", "relay boss")
CALLERS = (*AGENTS, RELAY)

ids = st.sampled_from(IDS)
callers = st.sampled_from(CALLERS)
names = st.sampled_from(("", *(each.name for each in AGENTS)))


class Grid(RuleBasedStateMachine):
    """One stream of each caller, and what is sent on it."""

    @initialize()
    def begin(self) -> None:
        """Every caller has a stream."""
        self.streams = Streams()
        self.streams.principals = {each.name: each for each in AGENTS}
        self.number: dict[str, int] = {}
        self.owners: dict[str, str] = {}
        for each in CALLERS:
            self.number[each.name] = self.streams.open(each)

    def _send(self, who: Principal, message: Any) -> None:
        """A message of a caller: no service of another owner is heard or changed by it. A relay may also speak for the
        services that its stream carries, whomever it names."""
        owners = {each.owner for each in AGENTS} if who is RELAY else {who.owner}
        registry = self.streams.registry
        before = {
            service_id: (record.incarnation, record.heard_at, record.session, record.report)
            for service_id, record in registry.records.items()
            if registry.owner_of(service_id) not in ("", *owners)
        }
        for answer in self.streams.send(self.number[who.name], message):
            self._check_answer(who, answer)
        for service_id, state in before.items():
            record = registry.records[service_id]
            assert (record.incarnation, record.heard_at, record.session, record.report) == state, service_id

    @rule(who=callers, service_id=ids, name=ids, parent=st.sampled_from(("", *IDS)), on_behalf_of=names)
    def register(self, who: Principal, service_id: str, name: str, parent: str, on_behalf_of: str) -> None:
        """A caller registers a service."""
        parent = "" if parent in (service_id, name) else parent
        self._send(who, register(service_id, name=name, parent=parent, on_behalf_of=on_behalf_of))

    @rule(who=callers, service_id=ids, relayed=st.booleans(), on_behalf_of=names)
    def beat(self, who: Principal, service_id: str, relayed: bool, on_behalf_of: str) -> None:
        """A caller sends a heartbeat by id."""
        self._send(who, Beats((Beat(service_id),), relayed=relayed, on_behalf_of=on_behalf_of))

    @rule(who=callers, incarnation=st.integers(0, 12), relayed=st.booleans(), on_behalf_of=names)
    def beat_in_a_column(self, who: Principal, incarnation: int, relayed: bool, on_behalf_of: str) -> None:
        """A caller tries out a number."""
        columns = Columns((incarnation,), 0, {"load": (0.5,)})
        self._send(who, Beats((), relayed=relayed, columns=columns, on_behalf_of=on_behalf_of))

    @rule(who=callers, service_id=ids, incarnation=st.integers(0, 12), abandons=st.booleans())
    def leave(self, who: Principal, service_id: str, incarnation: int, abandons: bool) -> None:
        """A caller says goodbye for a service, or that its program crashed."""
        message = Abandoned(service_id, incarnation) if abandons else Goodbye(service_id, "", incarnation)
        self._send(who, message)

    @rule(recipient=ids)
    def alert(self, recipient: str) -> None:
        """An alert for an id or a name."""
        event = make_event("note", alert_id=f"to {recipient}", recipient=recipient)
        self.streams.registry.publish(event, self.streams.grid.later())
        self._written()

    @rule(who=callers, recipient=ids)
    def acknowledge(self, who: Principal, recipient: str) -> None:
        """A caller acknowledges an alert on its stream: it acts only for services that the stream carries."""
        registry, number = self.streams.registry, self.number[who.name]
        waiting = {each: bool(registry.waiting_for(each)) for each in IDS}
        carried = {
            text
            for record in registry.records.values()
            if record.session == number
            for text in (record.spec.service_id, record.spec.name)
        }
        for answer in self.streams.send(number, AlertAck((f"to {recipient}",))):
            self._check_answer(who, answer)
        for each in set(IDS) - carried:
            assert bool(registry.waiting_for(each)) is waiting[each]

    @rule(service_id=ids)
    def remove(self, service_id: str) -> None:
        """An operator removes a service, and the owner stays."""
        try:
            self.streams.registry.deregister(service_id, "", self.streams.grid.later())
        except ServiceNotFound:
            return

    @rule(service_id=ids)
    def release(self, service_id: str) -> None:
        """An operator releases an id."""
        try:
            self.streams.registry.release_owner(service_id, self.streams.grid.later())
        except (InvalidRequest, ServiceNotFound):
            return
        del self.owners[service_id]

    @rule(who=callers)
    def reconnect(self, who: Principal) -> None:
        """The stream of a caller breaks, and it opens another one."""
        end_stream(self.streams.registry, self.number[who.name], self.streams.grid.later())
        del self.streams.streams[self.number[who.name]]
        self.number[who.name] = self.streams.open(who)

    def _written(self) -> None:
        """What goes out: a caller receives only what concerns services of its own."""
        for number, message in self.streams.registry.take().sends:
            if number in self.streams.streams:
                self.streams.streams[number].push(message)
        for who in CALLERS:
            for message in self.streams.written(self.number[who.name]):
                self._check_answer(who, message)

    def _check_answer(self, who: Principal, message: Any) -> None:
        if isinstance(message, Alert):
            self._check_recipient(who, message.event.recipient)
        elif isinstance(message, DeclaredDown):
            self._check_recipient(who, message.service_id)
        elif isinstance(message, Registered):
            self._check_recipient(who, message.service.spec.service_id)

    def _check_recipient(self, who: Principal, text: str) -> None:
        speakers = AGENTS if who is RELAY else (who,)
        owner = self.streams.registry.owner_of(text)
        allowed = [each for each in speakers if self.streams.rights(each).matches(text)]
        assert allowed
        assert text not in self.streams.registry.records or owner in {each.owner for each in allowed}

    @invariant()
    def streams_carry_only_services_of_their_callers(self) -> None:
        """The owner, the id and the name of each attached service fit to the caller."""
        self._written()
        for service_id, record in self.streams.registry.records.items():
            if record.session is None:
                continue
            (who,) = (each for each in CALLERS if self.number[each.name] == record.session)
            owner, name = self.streams.registry.owner_of(service_id), record.spec.name
            speakers = AGENTS if who is RELAY else (who,)
            assert any(each.owner == owner for each in speakers)
            assert any(self.streams.rights(each).matches(service_id, name) for each in AGENTS if each.owner == owner)
            if who is RELAY:
                assert who.may(RELAY.grants[0].role, service_id, name)

    @invariant()
    def owners_change_only_when_an_operator_releases_an_id(self) -> None:
        """An id that has an owner keeps it."""
        for service_id in IDS:
            owner = self.streams.registry.owner_of(service_id)
            assert self.owners.setdefault(service_id, owner) in ("", owner)
            self.owners[service_id] = owner


TestRights = Grid.TestCase
TestRights.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
