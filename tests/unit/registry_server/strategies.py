"""Arbitrary domain values, within what JSON and the wire can say."""

from __future__ import annotations

from typing import Any

from grid_model.declaration import Declaration
from grid_model.event import Event, Severity
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import ServiceRole, ServiceStatus, ServiceType
from hypothesis import strategies as st

from registry_server.core.service import Judgement, Report, StoredService

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SECONDS = st.floats(0, 2e9)
NUMBERS = st.integers(0, 2**63 - 1)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False), TEXT)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    TEXT,
    st.recursive(
        LEAVES, lambda kids: st.lists(kids, max_size=2) | st.dictionaries(TEXT, kids, max_size=2), max_leaves=4
    ),
    max_size=2,
)

SPECS = st.builds(
    Declaration,
    service_id=TEXT,
    name=TEXT,
    type=st.sampled_from(ServiceType),
    role=st.sampled_from(ServiceRole),
    url=TEXT,
    caps=st.lists(TEXT, max_size=2).map(tuple),
    labels=OBJECTS,
    parent=TEXT,
    ctx_limit=st.none() | NUMBERS,
    cost_hint=st.dictionaries(TEXT, SECONDS, max_size=2),
    heartbeat_interval=SECONDS,
    ttl=SECONDS,
    reconnect_grace=st.none() | SECONDS,
    stall_after=st.none() | SECONDS,
    refused_children=st.lists(TEXT, max_size=2).map(tuple),
)

REPORTS = st.builds(
    Report,
    status=st.sampled_from(ServiceStatus),
    p95_ms=st.none() | SECONDS,
    queue_depth=st.none() | NUMBERS,
    load=st.none() | SECONDS,
    message=TEXT,
    progress=st.none() | st.floats(0, 1),
    activity=st.integers(0, 2**64 - 1),
    loop_lag=st.none() | SECONDS,
    busy_until=st.none() | SECONDS,
)

EVENTS = st.builds(
    Event,
    type=TEXT,
    sequence=NUMBERS,
    alert_id=TEXT,
    occurred_at=SECONDS,
    severity=st.sampled_from(Severity),
    service_id=TEXT,
    service_name=TEXT,
    recipient=TEXT,
    cause=st.sampled_from(LivenessCause),
    missed_beats=NUMBERS,
    last_seen_at=st.none() | SECONDS,
    action=TEXT,
    message=TEXT,
    details=OBJECTS,
)

JUDGEMENTS = st.builds(
    Judgement,
    liveness=st.sampled_from(Liveness),
    cause=st.sampled_from(LivenessCause),
    since=SECONDS,
    missed_beats=NUMBERS,
    down_event=st.none() | EVENTS,
)

STORED = st.builds(
    StoredService,
    spec=SPECS,
    declared_role=st.sampled_from(ServiceRole),
    incarnation=NUMBERS,
    instances=st.lists(st.tuples(TEXT, NUMBERS), max_size=2).map(tuple),
    registered_at=SECONDS,
    last_heartbeat_at=SECONDS,
    streamed=st.booleans(),
    report=REPORTS,
    judgement=JUDGEMENTS,
)
