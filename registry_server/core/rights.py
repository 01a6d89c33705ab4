"""Decides what a caller may do: as which services it may act, which services it may operate, and which events it may
publish. Pure.

What is not granted is denied. A system without authentication has no `Rights` objects at all: its callers may do
everything, without any checks. The right to an id is checked when the id occurs for the first time on a stream or in a
call.
"""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from grid_model.access import Principal, Role
from grid_model.declaration import Declaration
from grid_model.errors import FieldError, InvalidRequest, NotOwner, PermissionDenied, QuotaExceeded, TronError
from grid_model.event import OPERATORS, Event
from grid_model.event_types import EVENT_TYPES

from registry_server.core.publish_rate import PUBLISHED_A_SECOND, PublishRate
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.validation import MAX_ANCESTORS

RESERVED = frozenset(
    {OPERATORS, "service-registry", "Service Registry", "tron-heartbeat-monitor", "TRON Heartbeat Monitor"}
)
"""The ids and names of the system itself. A grant matches one of them only if its pattern is exactly that id or
name."""

MOST_SPOKEN_FOR = 10_000
"""Maximum number of principals for which one relay speaks and whose rights are kept. Overflow rule: all are dropped,
and created again when they are needed."""

MOST_ADMITTED = 200_000
"""Maximum number of incarnations that are kept for one caller in `admitted`: the maximum number of services. Overflow
rule: all are dropped, and decided again when they are needed."""

_IGNORABLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""The first and the last character of each range with the property Default_Ignorable_Code_Point (from
DerivedCoreProperties of the Unicode Character Database)."""


def check_distinct(path: str, text: str) -> list[FieldError]:
    """Check that a text cannot be confused with a different text: it must be in Unicode normalization form C, without
    characters that are not displayed. Return a list with the error, which is empty if the text is valid."""
    if text.isascii():
        return []
    if not unicodedata.is_normalized("NFC", text):
        return [FieldError(path, "is not in Unicode normalization form C")]
    if any(first <= ord(character) <= last for character in text for first, last in _IGNORABLE):
        return [FieldError(path, "has a character that is not displayed")]
    return []


class Rights:
    """The rights of one caller. The caller is a principal, or a relay that speaks for a principal and then has only the
    rights that both have."""

    __slots__ = ("_find", "_forwarded_by", "_rate", "_registry", "_speakers", "admitted", "principal", "via")

    def __init__(
        self,
        registry: Registry,
        principal: Principal,
        *,
        find: Callable[[str], Principal | None],
        rate: PublishRate,
        via: Principal | None = None,
        forwarded_by: str = "",
    ) -> None:
        """`find` returns the principal with a name, with its current grants; None if there is no such principal or it
        may not act. `forwarded_by` is the relay that forwards the principal's own credential; this does not restrict
        the rights."""
        self._registry = registry
        self._find = find
        self._rate = rate
        self._forwarded_by = forwarded_by
        self._speakers: dict[str, Rights] = {}
        self.principal = principal
        """The principal whose rights these are."""
        self.via = via
        """The relay that speaks for the principal; None if the principal itself is the caller."""
        self.admitted: set[int] = set()
        """The incarnations for which the caller may send heartbeats. Each is decided once."""

    def speaking_for(self, name: str) -> Rights:
        """Return the rights that this relay has when it speaks for the principal `name`; its own rights if `name` is
        empty. Raises PermissionDenied if it may not speak for that principal.

        The principal is looked up each time, so a change of its grants takes effect at once.
        """
        if not name or (self.via is not None and name == self.principal.name):
            return self
        principal = self._find(name)
        speaker = self._speakers.get(name)
        if speaker is not None and speaker.principal == principal:
            return speaker
        self._speakers.pop(name, None)
        if Role.RELAY not in self.principal.roles or self.via is not None:
            raise PermissionDenied(f"{self.principal.name} has no relay grant, so it cannot speak for {name!r}")
        if principal is None or not principal.can_be_carried:
            why = "it must be an enabled principal with the role agent and no other role but observer"
            raise PermissionDenied(f"a relay cannot speak for {name!r}: {why}")
        if len(self._speakers) >= MOST_SPOKEN_FOR:
            self._speakers.clear()
        speaker = Rights(self._registry, principal, find=self._find, rate=self._rate, via=self.principal)
        self._speakers[name] = speaker
        return speaker

    def find(self, name: str) -> Principal | None:
        """Return the principal with a name, with its current grants; None if there is no such principal or it may not
        act."""
        return self._find(name)

    # --- acting as a service ----------------------------------------------------------------------------------------

    def matches(self, *texts: str) -> bool:
        """Return whether the caller has agent grants for all of these ids and names. A relay also needs relay grants
        for them."""
        via = self.via
        return all(_may(self.principal, Role.AGENT, text) for text in texts) and (
            via is None or all(_may(via, Role.RELAY, text) for text in texts)
        )

    def owns(self, service_id: str) -> bool:
        """Return whether the caller is the owner of an id, and has a grant for it."""
        return self._registry.owner_of(service_id) == self.principal.owner and self.matches(service_id)

    def check_registration(self, spec: Declaration, incarnation: int = 0, instance_id: str = "") -> str:
        """Check that the caller may register this service. Return the owner of the service's id after the registration.
        A registration that re-attaches a service does not change the name of the service, so the caller also needs a
        grant for the present name. Raises InvalidRequest, PermissionDenied, NotOwner; QuotaExceeded for a new id if its
        owner has too many registered services."""
        errors = [
            *check_distinct("service.service_id", spec.service_id),
            *check_distinct("service.name", spec.name),
        ]
        if errors:
            raise InvalidRequest.of(*errors)
        self._check_match("id", spec.service_id)
        self._check_match("name", spec.name)
        self._check_owner(spec.service_id)
        record = self._registry.records.get(spec.service_id)
        if record is not None and (incarnation or (instance_id and instance_id in dict(record.instances))):
            self._check_name_of(record)
        else:
            self._check_parent(spec)
            if record is None and not incarnation:
                self._registry.check_share(self.principal)
        return self.principal.owner

    def check_acts_as(self, service_id: str) -> None:
        """Check that the caller may act as this service, for example send its heartbeats or its goodbye. Raises
        PermissionDenied if no grant matches the id, whether or not such a service exists; NotOwner if the id belongs to
        another owner."""
        self._check_match("id", service_id)
        self._check_owner(service_id)
        record = self._registry.records.get(service_id)
        if record is not None:
            self._check_name_of(record)

    def admits(self, record: Record) -> bool:
        """Return whether the caller may send heartbeats of a service. If so, add the incarnation of the service to
        `admitted`, and make the caller the owner of the service's id if that id has no owner yet."""
        if not self._may_be(record):
            return False
        service_id = record.spec.service_id
        if not self._registry.owner_of(service_id):
            self._registry.claim(service_id, self.principal.owner)
        if len(self.admitted) >= MOST_ADMITTED:
            self.admitted.clear()
        self.admitted.add(record.incarnation)
        return True

    def refusal(self, service_id: str) -> TronError | None:
        """Return the error with which the caller's heartbeats of a service are refused; None if the caller may send
        them."""
        try:
            self.check_acts_as(service_id)
        except PermissionDenied as error:
            return error
        return None

    # --- commands ---------------------------------------------------------------------------------------------------

    def check_deregister(self, service_id: str) -> None:
        """Check that the caller may remove this service, as its owner or as an operator. Raises PermissionDenied,
        NotOwner."""
        if not self.operates(service_id):
            self.check_acts_as(service_id)

    def operates(self, *texts: str) -> bool:
        """Return whether the caller is an operator for these ids and names; without arguments, whether it is an
        operator for all services."""
        who, role = self.principal, Role.OPERATOR
        return self.via is None and (who.may(role, *texts) if texts else who.may_everywhere(role))

    def check_operator(self, *texts: str) -> None:
        """Check that the caller is an operator for these ids and names; without arguments, that it is an operator for
        all services. Raises PermissionDenied."""
        if not self.operates(*texts):
            raise PermissionDenied(f"{self.principal.name} has no operator grant for {_named(*texts)}")

    def check_maintenance(self, service_id: str) -> None:
        """Check that the caller may put a service under maintenance or end its maintenance. It must be an operator for
        the service, or TRON, which has checked the rights of the operator itself. Raises PermissionDenied."""
        if not self._judges():
            self.check_operator(service_id)

    def may_acknowledge(self, recipient: str) -> bool:
        """Return whether the caller may acknowledge alerts for this recipient; an empty recipient means any recipient.
        The result is False if the recipient is the name of a service that belongs to another owner: the caller is then
        answered as if no service had this name. Alerts for the operators may concern every service, so only TRON and
        operators for all services may acknowledge them. Raises PermissionDenied, NotOwner."""
        if self.operates() or (recipient == OPERATORS and self._judges()):
            return True
        if recipient == OPERATORS:
            self.check_operator()
        if not recipient:
            raise PermissionDenied(f"{self.principal.name} must set recipient to one of its own services")
        record = self._registry.resolve(recipient)
        if record is None or record.spec.service_id == recipient:
            if not self.operates(recipient):
                self.check_acts_as(recipient)
            return True
        if self.operates(record.spec.service_id) or self._may_be(record):
            return True
        if not self.operates(recipient):
            self._check_match("id", recipient)
        return False

    def check_observer(self, observer: str) -> None:
        """Check that the caller may act as this observer, whose verdicts the registry applies. Raises
        PermissionDenied."""
        if self.via is not None or not self.principal.may(Role.JUDGE, observer):
            raise PermissionDenied(f"{self.principal.name} has no judge grant for {observer!r}")

    def check_publish(self, event: Event, now: float) -> Event:
        """Check that the caller may publish an event. Return the event as it is published, with the names of its
        publisher and of the relay.

        The alert_id is replaced by one that is computed from it and the caller's owner, so it never equals the alert_id
        of an alert of TRON or of another owner. `now` is in attentive seconds. Raises PermissionDenied, NotOwner,
        QuotaExceeded.
        """
        if event.type in EVENT_TYPES:
            raise PermissionDenied(f"only TRON may publish events of the type {event.type!r}")
        if not event.service_id:
            raise PermissionDenied(f"{self.principal.name} must set event.service_id to one of its own services")
        self.check_acts_as(event.service_id)
        if event.service_name:
            self._check_match("name", event.service_name)
        if event.recipient not in ("", OPERATORS) and not self._is_ancestor(event.recipient, event.service_id):
            raise PermissionDenied(f"the recipient {event.recipient!r} is not an ancestor of {event.service_id!r}")
        if not self._rate.take(self.principal.name, now):
            raise QuotaExceeded(f"{self.principal.name} may publish at most {PUBLISHED_A_SECOND} events per second")
        alert_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.principal.owner}\0{event.alert_id}"))
        via = self._forwarded_by if self.via is None else self.via.name
        return replace(event, alert_id=alert_id, published_by=self.principal.name, via=via)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _check_match(self, what: str, text: str) -> None:
        if not _may(self.principal, Role.AGENT, text):
            raise PermissionDenied(f"{self.principal.name} has no agent grant for the {what} {text!r}")
        if self.via is not None and not _may(self.via, Role.RELAY, text):
            raise PermissionDenied(f"{self.via.name} has no relay grant for the {what} {text!r}")

    def _check_owner(self, service_id: str) -> None:
        if self._registry.owner_of(service_id) not in ("", self.principal.owner):
            raise NotOwner(f"the id {service_id!r} belongs to another owner; an operator can release it")

    def _check_parent(self, spec: Declaration) -> None:
        parent = self._registry.resolve(spec.parent) if spec.parent else None
        if parent is not None and self._registry.refuses_child(parent, spec.service_id, self.principal.owner):
            raise PermissionDenied(f"service.parent: {spec.parent!r} refuses {spec.service_id!r} as its child")

    def _check_name_of(self, record: Record) -> None:
        """Check that the caller has a grant for the name of a service. The error does not contain the name, because the
        caller may not know it."""
        if not self.matches(record.spec.name):
            raise PermissionDenied(
                f"{self.principal.name} has no grant for the name of the service {record.spec.service_id!r}"
            )

    def _may_be(self, record: Record) -> bool:
        """Return whether a service is the caller's own, or has no owner, and the caller has grants for its id and
        name."""
        spec = record.spec
        owner = self._registry.owner_of(spec.service_id)
        return owner in ("", self.principal.owner) and self.matches(spec.service_id, spec.name)

    def _judges(self) -> bool:
        return self.via is None and Role.JUDGE in self.principal.roles

    def _is_ancestor(self, recipient: str, service_id: str) -> bool:
        wanted = self._registry.resolve(recipient)
        nearest = islice(ancestors(self._registry, service_id), MAX_ANCESTORS)
        return wanted is not None and any(each is wanted for each in nearest)


def ancestors(registry: Registry, service_id: str) -> Iterator[Record]:
    """Yield the registered ancestors of a service, its parent first."""
    seen = {service_id}
    record = registry.records.get(service_id)
    while record is not None and (parent := registry.parent_of(record)):
        record = registry.resolve(parent)
        if record is None or record.spec.service_id in seen:
            return
        seen.add(record.spec.service_id)
        yield record


def _may(principal: Principal, role: Role, text: str) -> bool:
    if text in RESERVED:
        return any(grant.pattern == text and role in grant.roles for grant in principal.grants)
    return principal.may(role, text)


def _named(*texts: str) -> str:
    return " and ".join(map(repr, texts)) if texts else "all services"
