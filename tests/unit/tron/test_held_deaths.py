"""Deaths that were held are sent once nothing holds them, a bounded number in each frame."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts

from tests.unit.tron.builders import make_detector, make_facts
from tests.unit.tron.test_alert_book import draft
from tron import held_deaths as held_deaths_module
from tron.detector import Detector
from tron.facts import Kind
from tron.held_deaths import HeldDeaths


def dead(service_id: str, n: int = 1) -> Facts:
    """A service that is down, and nobody was notified."""
    alert = replace(draft(Kind.DOWN), service_id=service_id)
    down = {"judged": Liveness.DOWN, "cause": LivenessCause.DISCONNECTED, "connected": False}
    return make_facts(service_id, incarnation=n, held_alert=alert, **down)


def holding(*facts: Facts) -> tuple[HeldDeaths, Detector]:
    """These deaths are held."""
    held = HeldDeaths()
    for each in facts:
        held.put(each.service_id)
    return held, make_detector(*facts)


def nothing_holds(_: Facts) -> bool:
    """Neither maintenance nor a mass failure."""
    return False


def test_a_death_is_released_once_with_its_alert() -> None:
    held, detector = holding(dead("a"))
    assert held.release(detector.find, lambda _: True) == []
    ((facts, alert),) = held.release(detector.find, nothing_holds)
    assert (facts.service_id, alert) == ("a", facts.held_alert)
    assert held.release(detector.find, nothing_holds) == []


def test_a_service_that_is_back_gone_or_reported_meanwhile_is_not_released() -> None:
    back = replace(dead("back", 1), judged=Liveness.ALIVE)
    reported = replace(dead("reported", 2), held_alert=None)
    held, detector = holding(back, reported, dead("gone", 3), dead("ended", 4))
    detector.forget("gone")
    held.end("ended")
    assert held.release(detector.find, nothing_holds) == []


def test_more_deaths_than_fit_one_frame_are_postponed_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_deaths_module, "AT_ONCE", 2)
    held, detector = holding(*(dead(f"s{n}", n + 1) for n in range(5)))
    released = [[facts.service_id for facts, _ in held.release(detector.find, nothing_holds)]]
    assert [held.is_postponed(f"s{n}") for n in range(5)] == [False, False, True, True, True]
    released += [[facts.service_id for facts, _ in held.release(detector.find, nothing_holds)] for _ in range(2)]
    assert released == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    assert not any(held.is_postponed(f"s{n}") for n in range(5))
