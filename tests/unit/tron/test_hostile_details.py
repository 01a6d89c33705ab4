"""An alert that a client published stops no judgement, and changes no verdict about a service of somebody else."""

from __future__ import annotations

from typing import Any

import pytest
from grid_model.event import Event, Severity

from registry_server.core.observer_stream import VerdictCall
from registry_server.core.validation import MAX_OBJECT_BYTES, check_published
from tests.support.core_pair import EPOCH, OBSERVER, CorePair, grown
from tests.support.hostile_details import VALUES, everywhere

TREE = {"root": "", "pa": "root", "kid": "pa", "other": "pa"}


def publish(pair: CorePair, kind: str, **fields: Any) -> Event:
    """A client publishes an alert about "kid" to its parent."""
    known = {"type": kind, "service_id": "kid", "recipient": "pa", "severity": Severity.CRITICAL}
    event = Event(**{"occurred_at": EPOCH, "alert_id": f"{kind} {pair.now}", **known, **fields})
    pair.registry.publish(event, pair.instant())
    return event


@pytest.mark.parametrize("kind", ["x", "service_down", "heartbeat_restored", "service_stalled", "parent_down"])
@pytest.mark.parametrize("value", VALUES, ids=lambda each: repr(each)[:30])
def test_a_family_dies_and_returns_while_a_hostile_alert_waits(value: Any, kind: str) -> None:
    pair = grown(CorePair(), TREE)
    publish(pair, kind, details=everywhere(value))
    publish(pair, kind, alert_id="old", occurred_at=-62_135_596_800.0, details=everywhere(value))
    publish(pair, kind, alert_id="new", occurred_at=253_402_300_800.0)
    pair.kill("kid")
    pair.run(3.0)
    assert "kid" in pair.about("pa")
    pair.kill("pa")
    pair.run(40.0)
    (death,) = [each for each in pair.mail("root", "service_down") if each.service_id == "pa"]
    assert "kid" in death.details["affected"]
    pair.join("pa", "root")
    pair.join("kid", "pa")
    pair.run(1.0)
    assert pair.told("pa", "heartbeat_restored")
    pair.restart_tron()
    pair.run(1.0)
    pair.kill("other")
    pair.run(3.0)
    assert "other" in pair.about("pa")


def test_an_escalated_alert_keeps_its_evidence_and_names_its_recipients() -> None:
    pair = grown(CorePair(), TREE)
    publish(pair, "x", details={"escalated_from": 1, "k": [1]})
    pair.run(40.0)
    (copy,) = pair.mail("root", "x")
    assert (copy.details["escalated_from"], copy.details["k"]) == (["pa"], [1])


def test_the_list_of_a_client_hides_no_failure() -> None:
    pair = grown(CorePair(), {**TREE, "victim": "root"})
    pair.kill("kid")
    pair.run(3.0)
    publish(pair, "x", details={"affected": ["victim"]})
    pair.restart_tron()  # so TRON knows only from the waiting alerts which services they list
    pair.run(0.5)
    pair.kill("pa")
    pair.run(3.0)
    assert "victim" not in str(pair.mail("root", "service_down"))
    pair.kill("victim")
    pair.run(3.0)
    assert "victim" in pair.about("root")


def test_the_largest_alert_that_a_client_may_publish_can_escalate() -> None:
    pair = grown(CorePair(), TREE)
    event = publish(pair, "x", details={"k": "v" * (MAX_OBJECT_BYTES - 5)})
    check_published(event, EPOCH)
    pair.run(40.0)
    call = VerdictCall(pair.registry, OBSERVER)
    (copy,) = pair.copies
    call.notify(copy, pair.instant())
    assert len(pair.mail("root", "x")) == 1
