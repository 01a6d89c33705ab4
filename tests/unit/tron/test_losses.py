"""What was lost is named until an operator acknowledges it; agents and sinks acknowledge alerts, not losses."""

from __future__ import annotations

import pytest
from grid_model.event import OPERATORS
from grid_model.liveness import Liveness

from registry_server.core.service import Judgement
from registry_server.io.store.encoding import decode_judgement, encode
from registry_server.io.translate import from_gone
from tests.support.core_pair import CorePair, grown
from tron.facts import Kind
from tron.policy import Policy

SOON = Policy(guard_ratio=1.0)


def lost(pair: CorePair) -> list[str]:
    """Services that are lost, gone, and not acknowledged."""
    gone = map(from_gone, pair.registry.tombstones.values())
    return sorted(each.service_id for each in gone if each.lost and not each.acknowledged)


def after_a_loss() -> CorePair:
    """A parent whose child was deregistered, and a service without a parent that was, too."""
    pair = grown(CorePair(SOON), {"pa": "", "kid": "pa", "alone": ""})
    pair.kill("kid", "alone")
    pair.run(6.0)
    return pair


def test_that_agents_and_sinks_acknowledge_is_no_acknowledgement_of_the_loss() -> None:
    pair = after_a_loss()
    pair.acknowledge("pa")
    pair.acknowledge(OPERATORS)
    assert lost(pair) == ["alone", "kid"]


@pytest.mark.parametrize("kind", ["service_down", "service_deregistered"])
@pytest.mark.parametrize("who", [("kid", "pa"), ("alone", OPERATORS)])
def test_an_operator_acknowledges_by_either_alert(kind: str, who: tuple[str, str]) -> None:
    pair = after_a_loss()
    service_id, recipient = who
    (alert,) = [event for event in pair.told(recipient, kind) if event.service_id == service_id]
    assert pair.registry.acknowledge_loss(alert.alert_id, pair.instant()) == 1
    assert pair.registry.acknowledge_loss(alert.alert_id, pair.instant()) == 0
    assert service_id not in lost(pair)
    assert len(lost(pair)) == 1


def test_all_that_waits_is_acknowledged_at_once() -> None:
    pair = after_a_loss()
    waiting = len(pair.registry.all_waiting())
    assert pair.registry.acknowledge_matching("", "", pair.instant()) == (waiting, 2)
    assert pair.registry.all_waiting() == []
    assert lost(pair) == []
    assert pair.registry.acknowledge_matching("", "", pair.instant()) == (0, 0)


def test_what_waits_about_one_service_is_acknowledged() -> None:
    pair = after_a_loss()
    assert pair.registry.acknowledge_matching("kid", "", pair.instant()) == (2, 1)
    assert pair.mail("pa") == []
    assert pair.about(OPERATORS) == ["alone"]
    assert lost(pair) == ["alone"]


def test_what_waits_for_one_recipient_is_acknowledged_and_nothing_else() -> None:
    pair = after_a_loss()
    assert pair.registry.acknowledge_matching("", "pa", pair.instant()) == (2, 0)
    assert pair.mail("pa") == []
    assert lost(pair) == ["alone", "kid"]


def test_a_recipient_may_be_named() -> None:
    pair = CorePair(SOON)
    pair.join("p-1", name="pa")
    grown(pair, {"kid": "pa"})
    pair.kill("kid")
    pair.run(2.5)
    assert pair.registry.acknowledge_matching("", "pa", pair.instant()) == (1, 0)


def test_a_service_that_is_back_is_not_lost() -> None:
    pair = after_a_loss()
    pair.join("kid", "pa")
    pair.run(0.5)
    assert lost(pair) == ["alone"]
    death = pair.told("pa", "service_down")[0]
    assert pair.registry.acknowledge_loss(death.alert_id, pair.instant()) == 0


def test_a_death_that_was_acknowledged_before_the_removal_is_not_lost_again() -> None:
    pair = grown(CorePair(SOON), {"alone": ""})
    pair.kill("alone")
    pair.run(2.5)
    assert pair.registry.acknowledge_matching("alone", "", pair.instant())[1] == 1
    pair.run(5.0)
    assert pair.kinds("alone")[-1] is Kind.DEREGISTER
    assert lost(pair) == []


def test_who_left_on_purpose_is_gone_and_not_lost() -> None:
    pair = grown(CorePair(SOON), {"alone": ""})
    pair.leave("alone")
    gone = from_gone(pair.registry.tombstones["alone"])
    assert (gone.lost, gone.reason) == (False, "goodbye")


def test_the_gone_say_what_became_of_them() -> None:
    pair = after_a_loss()
    gone = from_gone(pair.registry.tombstones["kid"])
    assert (gone.name, gone.parent, gone.reason) == ("kid", "pa", "judged")
    assert gone.alert_id == pair.told("pa", "service_down")[0].alert_id
    assert gone.last_heartbeat_at.ToNanoseconds() < gone.down_at.ToNanoseconds() < gone.removed_at.ToNanoseconds()


def test_an_acknowledgement_survives_on_disk_and_old_records_have_none() -> None:
    judgement = Judgement(removal_alert_id="x", acknowledged_at=12.5)
    assert decode_judgement(encode(judgement)) == judgement
    old = encode(Judgement()).replace(',"removal_alert_id":"","acknowledged_at":null', "")
    assert "acknowledged_at" not in old
    assert decode_judgement(old) == Judgement()


# --- the policy that keeps what died --------------------------------------------------------------------------------


def test_a_policy_keeps_what_died() -> None:
    pair = grown(CorePair(Policy(guard_ratio=1.0, deregister=False)), {"alone": ""})
    pair.kill("alone")
    pair.run(600.0)
    assert pair.kinds("alone") == [Kind.DOWN]
    assert [kind for kind, _ in pair.judge.detector.deadlines("alone")] == []
    pair.join("alone")
    pair.run(0.5)
    assert pair.kinds("alone") == [Kind.DOWN, Kind.RESTORE]


def test_a_policy_keeps_what_died_for_a_time() -> None:
    pair = grown(CorePair(Policy(guard_ratio=1.0, keep_down=60.0)), {"alone": ""})
    pair.kill("alone")
    pair.run(61.0)
    lease = pair.judge.detector.find("alone")
    assert lease is not None
    assert lease.liveness is Liveness.DOWN
    pair.run(2.0)
    assert pair.kinds("alone") == [Kind.DOWN, Kind.DEREGISTER]


def test_the_default_is_the_three_misses_of_the_legacy_contract() -> None:
    assert (Policy().misses_before_deregister, Policy().keep_down, Policy().deregister) == (3, 0.0, True)
