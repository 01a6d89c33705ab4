"""What `tron explain` says at three in the morning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from registry_server.core.facts import facts_of
from registry_server.core.service import Report
from tests.support.core_pair import PATIENT, CorePair, grown
from tron.explanation import Explanation, explain
from tron.policy import Policy


@pytest.fixture
def pair() -> CorePair:
    """A boss and an agent that has an activity counter, both fine."""
    pair = grown(CorePair(), {"boss": ""})
    pair.join("a", "boss", stall_after=5.0, name="Agent A")
    pair.run(1.0)
    return pair


def asked(pair: CorePair, service_id: str = "a") -> Explanation:
    """What is explained of a service."""
    pair.judge.detector.refresh(facts_of(pair.registry.get(service_id), None))
    explanation = explain(pair.judge, service_id)
    assert explanation is not None
    return explanation


def will(explanation: Explanation) -> list[str]:
    """What would become of it."""
    return [what for what, _ in explanation.deadlines]


def test_who_is_fine_is_explained_too(pair: CorePair) -> None:
    pair.hang("a")
    pair.run(0.4)
    fine = asked(pair)
    assert fine.verdict == "Agent A is alive: last heartbeat 0.4 s ago, and the service's stream is open."
    assert fine.rule == (
        "heard_in_time: a heartbeat is due every 1 s; "
        "the service becomes suspect after 1 missed heartbeat (plus 0.25 s)"
    )
    assert will(fine) == ["suspect (a heartbeat is missed)", "down", "deregistered"]
    (_, miss), (_, down), _ = fine.deadlines
    assert [miss, down] == pytest.approx([0.85, 1.85])
    assert (fine.evidence["state"], fine.evidence["is_told"], fine.evidence["connected"]) == ("ALIVE", "boss", True)


def test_a_broken_stream(pair: CorePair) -> None:
    pair.kill("a")
    pair.run(0.5)
    suspect = asked(pair)
    assert suspect.verdict == "Agent A is suspect: its stream broke 0.5 s ago and it has not reconnected."
    assert suspect.rule.startswith(
        "stream_broke: a service is suspect once its stream breaks, and down after reconnect_grace (2 s)"
    )
    assert will(suspect)[0] == "down"


def test_a_missed_beat(pair: CorePair) -> None:
    pair.hang("a")
    pair.run(1.5)
    suspect = asked(pair)
    assert suspect.verdict == "Agent A is suspect: no heartbeat for 1.5 s."
    assert suspect.rule == "missed_beats: no heartbeat for 1 x 1 s + 0.25 s"
    assert suspect.evidence["missed_beats"] == 1


def test_who_is_down_and_who_was_told(pair: CorePair) -> None:
    pair.kill("a")
    pair.run(12.0)
    down = asked(pair)
    assert down.verdict == (
        "Agent A has been down for 10.0 s: its stream broke and it did not reconnect; last heartbeat 12.0 s ago."
    )
    assert down.rule == "reconnect_grace: the service did not reconnect within 2 s after its stream broke"
    assert down.evidence["told_to"] == ["boss"]
    assert down.evidence["open_alerts"] == 1, "the death has overtaken the suspicion"
    assert will(down) == ["deregistered"]


def test_who_fell_silent(pair: CorePair) -> None:
    pair.hang("a")
    pair.run(200.0)
    down = asked(pair)
    assert "has been down for 3 min: it stopped sending heartbeats; last heartbeat 3 min ago" in down.verdict
    assert down.rule == "missed_beats: no heartbeat for 2 x 1 s + 0.25 s"


def test_who_beats_and_does_not_get_on(pair: CorePair) -> None:
    pair.run(5.0)
    stalled = asked(pair)
    assert stalled.verdict == "Agent A is stalled: it is sending heartbeats but has made no progress for 6.0 s."
    assert stalled.rule == (
        "stall_after: the activity counter may stay unchanged for at most 5 s; "
        "a service that sends heartbeats is never declared down for a lack of progress"
    )


def test_who_stood_still_and_then_lost_its_stream_does_not_beat(pair: CorePair) -> None:
    pair.run(5.0)
    pair.kill("a")
    pair.run(0.5)
    broken = asked(pair)
    assert broken.verdict == "Agent A is suspect: its stream broke 0.5 s ago and it has not reconnected."
    assert broken.rule.startswith("stream_broke:")


def test_who_is_busy(pair: CorePair) -> None:
    until = pair.instant().wall + 600
    pair.registry.beat(pair.session("a"), "a", 0, Report(busy_until=until), pair.instant())
    pair.run(10.0)
    busy = asked(pair)
    assert busy.verdict.endswith(", and the service's stream is open; the service is busy for another 10 min.")
    assert busy.evidence["busy_for_another_seconds"] == pytest.approx(590.0)


def test_who_flaps(pair: CorePair) -> None:
    for _ in range(7):
        pair.kill("a")
        pair.run(0.2)
        pair.join("a", "boss", name="Agent A")
        pair.run(0.3)
    damped = asked(pair)
    assert "; the service is flapping, so further suspicions raise no alert." in damped.verdict
    assert (damped.evidence["damped"], damped.evidence["suspicions_in_flap_window"]) == (True, PATIENT.flap_count)


def test_who_is_maintained(pair: CorePair) -> None:
    pair.maintain("a")
    pair.kill("a")
    pair.run(5.0)
    maintained = asked(pair)
    assert maintained.verdict.endswith("; alerts about the service are held for maintenance (new disk).")
    assert maintained.evidence["told_to"] == []
    assert will(maintained) == []


def test_who_is_listed_in_the_alert_of_an_ancestor() -> None:
    pair = grown(CorePair(), {"root": "", "pa": "root", "kid": "pa"})
    pair.kill("kid", "pa")
    pair.run(3.0)
    listed = asked(pair, "kid")
    assert listed.verdict.endswith("; the alert about an ancestor of the service lists this failure.")
    assert listed.evidence["folded_into"] == pair.mail("root", "service_down")[0].alert_id


def test_who_failed_with_many_others() -> None:
    fleet = [f"m{n}" for n in range(20)]
    pair = grown(CorePair(Policy()), dict.fromkeys(fleet, "boss") | {"boss": ""})
    pair.kill(*fleet[:12])
    pair.run(4.0)
    failed = asked(pair, "m0")
    assert failed.verdict.endswith("; the service failed together with many others, so its alerts are held.")
    assert (failed.evidence["mass_failure"], will(failed)) == (True, [])


def test_who_is_not_back_after_the_registry_could_not_hear(pair: CorePair) -> None:
    pair.registry.withdraw_preauthorized()
    pair.hearing_since = pair.now
    pair.hang("a")
    pair.run(3.0)
    held = asked(pair)
    assert held.verdict == "Agent A is alive: last heartbeat 3.0 s ago, and the service's stream is open."
    assert held.rule == (
        "reattach_window: the registry has been receiving heartbeats for only 3.0 s; "
        "earlier evidence is ignored for 15 s"
    )


def test_who_never_had_a_stream(pair: CorePair) -> None:
    pair.registry.register(replace(pair.registry.get("a").spec, service_id="u", name="U"), 0, "", None, pair.instant())
    pair.run(0.1)
    assert "(the service has no stream, so only missed heartbeats count)" in asked(pair, "u").verdict


def test_the_safety_margin_and_what_would_be_safe(pair: CorePair) -> None:
    pair.hang("a")
    pair.run(1.7)
    pair.beating.add("a")
    pair.run(2.0)
    early = asked(pair)
    assert early.evidence["worst_gap_seconds"] == pytest.approx(1.8)
    assert early.evidence["safety_margin"] == pytest.approx(1 - 1.8 / 2.25)
    assert "suggested_down_after_seconds" not in early.evidence
    assert early.margin == (
        "The longest gap between two heartbeats was 1.80 s in 4.7 s of observation: 80% of the 2.25 s of silence after "
        "which the service is down. This is too little data to suggest a timeout; a suggestion needs 100 heartbeats "
        "(100.0 s)."
    )
    pair.run(100.0)
    later = asked(pair)
    assert later.evidence["suggested_down_after_seconds"] == pytest.approx(3.6)
    assert later.evidence["suggested_misses_before_down"] == 4
    assert later.margin.endswith(
        " A timeout of at least 3.60 s, twice the longest gap, is suggested; to allow this timeout, set "
        "misses_before_down=4."
    )


def test_a_margin_of_one_half_needs_no_other_timeout(pair: CorePair) -> None:
    pair.run(110.0)
    calm = asked(pair)
    assert calm.evidence["safety_margin"] >= 0.5
    assert calm.margin.endswith(" is suggested; the thresholds suffice.")


def test_without_gaps_there_is_no_margin(pair: CorePair) -> None:
    pair.registry.register(replace(pair.registry.get("a").spec, service_id="u", name="U"), 0, "", None, pair.instant())
    pair.run(0.1)
    assert asked(pair, "u").margin.startswith("Gaps between heartbeats are observed on streams only")
    pair.join("n", "boss")
    pair.hang("n")
    pair.run(0.1)
    assert asked(pair, "n").margin.startswith("No gap between two heartbeats on a stream has been observed yet")


def test_nobody_is_explained_who_is_not_there(pair: CorePair) -> None:
    assert explain(pair.judge, "nobody") is None


def test_what_an_agent_did_while_it_was_excused_says_nothing_about_its_time_out(pair: CorePair) -> None:
    until = pair.instant().wall + 60
    pair.registry.beat(pair.session("a"), "a", 0, Report(busy_until=until), pair.instant())
    pair.hang("a")
    pair.run(59.0)
    pair.beating.add("a")
    pair.run(5.0)
    assert asked(pair).evidence["worst_gap_seconds"] < 2.0
