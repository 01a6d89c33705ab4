"""Facts about a service that has beaten at one second, with an interval of one second: silence(1) is 1.25 s."""

from __future__ import annotations

from typing import Any

from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts
from grid_model.service import Maintenance

from tron.detector import Detector
from tron.facts import Kind, Transition
from tron.policy import Policies, Policy

WINDOW = 15.0
HELD = Maintenance("a", 1_700_000_000.0)
POLICY = Policy(reattach_window=WINDOW)


def make_facts(service_id: str = "a", **fields: Any) -> Facts:
    """A connected service, judged alive, attached and heard at 1.0."""
    defaults: dict[str, Any] = {
        "name": service_id,
        "incarnation": 1,
        "observation": 10,
        "parent": "boss",
        "interval": 1.0,
        "reconnect_grace": None,
        "connected": True,
        "streamed": True,
        "attached_at": 1.0,
        "detached_at": None,
        "heard_at": 1.0,
        "last_heartbeat_at": 1_700_000_001.0,
        "judged": Liveness.ALIVE,
        "cause": LivenessCause.NONE,
        "judged_at": 1.0,
        "missed_beats": 0,
    }
    return Facts(service_id=service_id, **{**defaults, **fields})


def make_detector(*facts: Facts, policy: Policy = POLICY, exempt: str = "", **overrides: Policy) -> Detector:
    """A detector that has read these facts."""
    detector = Detector(Policies(policy, overrides), frozenset({exempt}))
    for each in facts:
        detector.observe(each)
    return detector


def walk(
    detector: Detector, until: float, *, begin: float = 0.0, hearing_since: float = 0.0
) -> list[tuple[float, Transition]]:
    """Tick ten times a second; return what was decided, and when it was noticed."""
    decided: list[tuple[float, Transition]] = []
    for tick in range(round(begin * 10), round(until * 10) + 1):
        decided += [(tick / 10, each) for each in detector.advance(tick / 10, hearing_since)]
    return decided


def story(decided: list[tuple[float, Transition]]) -> list[tuple[float, Kind]]:
    """When what was noticed."""
    return [(at, each.kind) for at, each in decided]
