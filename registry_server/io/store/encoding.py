"""Encodes records as JSON text and decodes them. A person with `sqlite3` can read what is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from operator import attrgetter
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from grid_model.declaration import Declaration
from grid_model.event import Event, Severity
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import ServiceRole, ServiceStatus, ServiceType

from registry_server.core.service import Judgement, Report, StoredService

_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def encode(value: StoredService | Event | Judgement) -> str:
    """Return a record as one line of JSON; enums are written as their names."""
    return _to_json(_SHAPES[type(value)].plain(value))


def decode_service(text: str) -> StoredService:
    """Return the service that `encode` has written as this text."""
    raw = json.loads(text)
    return _of_its_kinds(
        StoredService(
            spec=_spec(raw["spec"]),
            declared_role=ServiceRole[raw["declared_role"]],
            incarnation=raw["incarnation"],
            instances=tuple((str(name), int(incarnation)) for name, incarnation in raw["instances"]),
            registered_at=raw["registered_at"],
            last_heartbeat_at=raw["last_heartbeat_at"],
            streamed=raw["streamed"],
            report=_of_its_kinds(Report(**{**raw["report"], "status": ServiceStatus[raw["report"]["status"]]})),
            judgement=_judgement(raw["judgement"]),
        )
    )


def decode_event(text: str) -> Event:
    """Return the event that `encode` has written as this text."""
    return _event(json.loads(text))


def decode_judgement(text: str) -> Judgement:
    """Return the verdict that `encode` has written as this text."""
    return _judgement(json.loads(text))


class _Shape:
    """Reads all fields of a class at once, because alerts and thousands of registrations wait for this."""

    def __init__(self, kind: type, *, enums: tuple[str, ...] = (), records: tuple[str, ...] = ()) -> None:
        """`enums`: fields that are stored by the name of their value; `records`: fields whose classes have a `_Shape`
        too."""
        self._names: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
        self._read = attrgetter(*self._names)
        self._enums = enums
        self._records = records

    def plain(self, value: Any) -> dict[str, Any]:
        """Return the fields of a record as JSON values."""
        plain = dict(zip(self._names, self._read(value), strict=True))
        for name in self._enums:
            plain[name] = plain[name].name
        for name in self._records:
            record = plain[name]
            if record is not None:
                plain[name] = _SHAPES[type(record)].plain(record)
        return plain


_SHAPES = {
    StoredService: _Shape(StoredService, enums=("declared_role",), records=("spec", "report", "judgement")),
    Declaration: _Shape(Declaration, enums=("type", "role")),
    Report: _Shape(Report, enums=("status",)),
    Judgement: _Shape(Judgement, enums=("liveness", "cause"), records=("down_event", "returned")),
    Event: _Shape(Event, enums=("severity", "cause")),
}


def _spec(raw: dict[str, Any]) -> Declaration:
    return _of_its_kinds(
        Declaration(
            **{
                **raw,
                "type": ServiceType[raw["type"]],
                "role": ServiceRole[raw["role"]],
                "caps": tuple(raw["caps"]),
                "refused_children": tuple(raw.get("refused_children", ())),
            }
        )
    )


def _judgement(raw: dict[str, Any]) -> Judgement:
    down_event = None if raw["down_event"] is None else _event(raw["down_event"])
    # Records of the first schema do not name the notified recipients: it was the recipient of the alert.
    addressed = () if down_event is None or not down_event.recipient else (down_event.recipient,)
    return _of_its_kinds(
        Judgement(
            liveness=Liveness[raw["liveness"]],
            cause=LivenessCause[raw["cause"]],
            since=raw["since"],
            missed_beats=raw["missed_beats"],
            down_event=down_event,
            told_to=tuple(raw.get("told_to", addressed)),
            folded_into=raw.get("folded_into", ""),
            removal_alert_id=raw.get("removal_alert_id", ""),
            acknowledged_at=raw.get("acknowledged_at"),
            returned=None if raw.get("returned") is None else _event(raw["returned"]),
        )
    )


def _event(raw: dict[str, Any]) -> Event:
    return _of_its_kinds(Event(**{**raw, "severity": Severity[raw["severity"]], "cause": LivenessCause[raw["cause"]]}))


T = TypeVar("T", StoredService, Declaration, Report, Judgement, Event)


def _of_its_kinds(value: T) -> T:
    """Return the record. Raises TypeError if a field has a value of the wrong type, which only a damaged text has."""
    for name, kinds in _KINDS[type(value)]:
        if not isinstance(getattr(value, name), kinds):
            raise TypeError(f"{name} has a value of the wrong type")
    return value


def _kinds(kind: type) -> list[tuple[str, tuple[type, ...]]]:
    hints = get_type_hints(kind)
    return [(name, tuple(_plain_kinds(hints[name]))) for name in kind.__slots__]  # type: ignore[attr-defined]


def _plain_kinds(hint: Any) -> Iterator[type]:
    for each in get_args(hint) if isinstance(hint, UnionType) else (hint,):
        plain = get_origin(each) or each
        yield plain
        if plain is float:
            yield int  # JSON has one kind of number


_KINDS = {kind: _kinds(kind) for kind in _SHAPES}
