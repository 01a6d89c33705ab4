"""What is stored is read back as it was, and a person can read it too."""

from __future__ import annotations

import json

from grid_model.event import Event, Severity
from hypothesis import given, settings

from registry_server.core.service import Judgement, StoredService
from registry_server.io.store.encoding import decode_event, decode_judgement, decode_service, encode
from tests.unit.registry_server.builders import make_event
from tests.unit.registry_server.strategies import EVENTS, JUDGEMENTS, STORED

RELAXED = settings(deadline=None, max_examples=60)


@RELAXED
@given(STORED)
def test_a_service_survives_the_round_trip(service: StoredService) -> None:
    assert decode_service(encode(service)) == service


@RELAXED
@given(EVENTS)
def test_an_event_survives_the_round_trip(event: Event) -> None:
    assert decode_event(encode(event)) == event


@RELAXED
@given(JUDGEMENTS)
def test_a_judgement_survives_the_round_trip(judgement: Judgement) -> None:
    assert decode_judgement(encode(judgement)) == judgement


def test_enums_are_stored_by_name_and_text_as_it_is() -> None:
    text = encode(make_event(severity=Severity.CRITICAL, message="größer"))
    assert json.loads(text)["severity"] == "CRITICAL"
    assert "größer" in text
    assert "\n" not in text
