"""What a seed determines: a fleet, a policy, links, and faults. Data only, so that a plan can be made smaller."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from grid_model.policy import OrphanPolicy

from tron.policy import Policy

AGENT_FAULTS = {
    "crash": 10,
    "vanish": 4,
    "hang": 7,
    "freeze": 3,
    "stall": 4,
    "busy": 3,
    "deaf": 4,
    "leave": 3,
    "twin": 3,
    "cut": 7,
    "partition": 8,
    "slow": 3,
    "flap": 2,
    "roam": 3,
    "takeover": 3,
}
"""What can happen to one agent, and how often it does."""

SYSTEM_FAULTS = {
    "registry_crash": 8,
    "registry_dies_at_write": 8,
    "registry_restart": 3,
    "registry_pause": 7,
    "slow_disk": 3,
    "clock_step": 4,
    "tron_crash": 7,
    "tron_pause": 5,
    "tron_cut": 3,
    "tron_partition": 4,
    "tron_slow": 2,
    "sinks_hang": 2,
}
"""What can happen to those who judge."""

EVICTIONS = 0.3
"""In how many fleets the registry ends somebody's stream, alone or just before something happens to its agent."""

FLEET_FAULTS = {
    "storm": 4,
    "mass_crash": 3,
    "mass_partition": 3,
    "family": 5,
}
"""What happens to many at once."""

USES = {
    "promote": 6,
    "publish": 4,
    "maintain": 3,
    "deregister": 2,
    "reader_cut": 3,
    "reader_pause": 3,
    "reader_partition": 5,
}
"""What operators and readers do meanwhile."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens. `lasts` None: it is not made good. `detail`: a direction, a share, or a number."""

    at: float
    kind: str
    target: str = ""
    lasts: float | None = None
    detail: float = 0.0

    def __str__(self) -> str:
        target = f" {self.target}" if self.target else ""
        lasts = " for good" if self.lasts is None else f" for {self.lasts:g}s"
        return f"{self.at:g}s {self.kind}{target}{lasts}{f' ({self.detail:g})' if self.detail else ''}"


@dataclass(frozen=True, slots=True)
class Member:
    """An agent of the fleet."""

    service_id: str
    parent: str
    interval: float
    grace: float | None
    stall_after: float | None
    starts_at: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run depends on."""

    seed: int
    policy: Policy
    fleet: tuple[Member, ...]
    faults: tuple[Fault, ...]
    delay: tuple[float, float]
    batch: int
    retention: float | None
    wire: bool = False
    """Whether TRON and the registry talk by the real messages, which is exact and slow."""
    kind: str = "fleet"

    @property
    def ends_at(self) -> float:
        """When the last fault is over."""
        return max((fault.at + (fault.lasts or 0.0) for fault in self.faults), default=0.0)

    def keeping(self, kept: tuple[int, ...]) -> Plan:
        """The same with only some of its faults, by their numbers."""
        return replace(self, faults=tuple(self.faults[each] for each in kept))


def plan_of(seed: int, kind: str = "fleet") -> Plan:
    """The plan of a seed. `kind`: `fleet`, anything to anybody; `family`, a line of ancestors that dies."""
    return _family(seed) if kind == "family" else _fleet(seed)


def _policy(dice: Random) -> Policy:
    return Policy(
        reconnect_grace=dice.choice((1.0, 2.0, 3.0)),
        reattach_window=dice.choice((10.0, 12.0)),
        escalate_after=dice.choice((2.0, 4.0)),
        guard_window=dice.choice((4.0, 6.0)),
        guard_burst=dice.choice((0.5, 1.0)),
        flap_window=dice.choice((8.0, 20.0)),
        flap_count=dice.choice((3, 5)),
        orphan_policy=dice.choice(tuple(OrphanPolicy)),
    )


def _fleet(seed: int) -> Plan:
    dice = Random(f"{seed}/plan")
    size = dice.choice((1, 2, 3, 5, 8, 8, 12))
    pace = dice.choice((0.5, 1.0, 2.0, 5.0))
    fleet: list[Member] = []
    for number in range(size):
        # One in three has its parent among the first: trees of a few levels, and some with several roots.
        parent = "" if not number or dice.random() < 0.15 else dice.choice(fleet[: max(1, len(fleet) // 2)]).service_id
        if dice.random() < 0.04:
            parent = "nobody"
        fleet.append(
            Member(
                service_id=f"a{number}",
                parent=parent,
                interval=pace if dice.random() < 0.7 else dice.choice((0.5, 1.0, 2.0, 10.0)),
                grace=dice.choice((None, None, None, 1.0, 4.0)),
                stall_after=dice.choice((None, None, 2.0, 5.0)),
                starts_at=round(dice.uniform(0.0, 2.0), 3),
            )
        )
    span = dice.choice((8.0, 15.0, 25.0))
    faults = [_fault(dice, fleet, 4.0 + dice.random() * span) for _ in range(dice.choice((1, 2, 3, 4, 6, 8)))]
    faults += _evictions(Random(f"{seed}/evictions"), fleet, faults, span)
    return Plan(
        seed=seed,
        policy=_policy(dice),
        fleet=tuple(fleet),
        faults=tuple(sorted(faults, key=lambda fault: (fault.at, fault.kind, fault.target))),
        delay=dice.choice(((0.0002, 0.001), (0.001, 0.02), (0.005, 0.06))),
        batch=dice.choice((4, 4, 1000)),
        retention=dice.choice((None, None, None, 12.0)),
        wire=dice.random() < 0.5,
    )


def _evictions(dice: Random, fleet: list[Member], faults: list[Fault], span: float) -> list[Fault]:
    """The registry ends streams: where it may, and where that hides what happens to the agent."""
    if dice.random() >= EVICTIONS:
        return []
    found = [Fault(round(4.0 + dice.random() * span, 3), "evict", dice.choice(fleet).service_id, 0.0)]
    hidden = [each for each in faults if each.kind in ("hang", "vanish", "crash", "partition", "busy")]
    return found + [Fault(round(each.at + dice.uniform(0.0, 0.5), 3), "evict", each.target, 0.0) for each in hidden]


def _fault(dice: Random, fleet: list[Member], at: float) -> Fault:
    table = dice.choices((AGENT_FAULTS, SYSTEM_FAULTS, FLEET_FAULTS, USES), (10, 9, 3, 4))[0]
    kind = dice.choices(list(table), list(table.values()))[0]
    at = round(at, 3)
    lasts = round(dice.choice((0.3, 1.0, 2.5, 6.0, 18.0)) * dice.uniform(0.5, 1.5), 3)
    member = dice.choice(fleet)
    target = member.service_id
    for_good = dice.random() < 0.3
    detail = 0.0
    if table is AGENT_FAULTS:
        if kind == "partition":
            detail = float(dice.choice((0, 1, 2)))
        elif kind == "flap":
            detail = float(dice.randint(3, 8))
            lasts, for_good = detail, False
        elif kind == "takeover":
            detail, for_good = float(dice.randint(0, 1)), False
        elif kind in ("slow", "busy", "cut", "twin", "roam"):
            for_good = False
            lasts = 0.0 if kind in ("cut", "twin") else lasts
        return Fault(at, kind, target, None if for_good else lasts, detail)
    if table is SYSTEM_FAULTS:
        if kind == "registry_dies_at_write":
            detail = float(dice.randint(1, 12) * (1 if dice.random() < 0.5 else -1))
            lasts = min(lasts, 6.0)
        elif kind == "clock_step":
            detail = dice.choice((-3600.0, -5.0, 5.0, 60.0, 3600.0))
            lasts = 0.0
        elif kind == "tron_cut":
            lasts = 0.0
        elif kind == "tron_partition":
            detail = float(dice.choice((0, 1, 2)))
        return Fault(at, kind, "", lasts, detail)
    if table is FLEET_FAULTS:
        detail = round(dice.uniform(0.3, 1.0), 2)
        return Fault(at, kind, target, 0.0 if kind == "storm" else None if for_good else lasts, detail)
    takes_time = kind in ("maintain", "reader_pause", "reader_partition")
    if kind == "reader_partition":
        lasts = round(15.0 + 2 * lasts, 3)  # longer than a client waits for an answer, now and then
    return Fault(at, kind, target, lasts if takes_time else 0.0, float(dice.randint(0, 2)))


def _family(seed: int) -> Plan:
    """A child and its ancestors die in random order, some come back; registry and TRON die between."""
    dice = Random(f"{seed}/family")
    depth = dice.choice((2, 3, 4))
    interval = dice.choice((0.5, 1.0))
    fleet = [
        Member(f"a{level}", f"a{level - 1}" if level else "", interval, None, None, 0.05 * level)
        for level in range(depth)
    ]
    dying = dice.sample([each.service_id for each in fleet], dice.randint(1, depth))
    if fleet[-1].service_id not in dying:
        dying[-1] = fleet[-1].service_id
    at = 2.0
    faults: list[Fault] = []
    for service_id in dying:
        at += dice.choice((0.0, 0.02, 0.3, 1.5, 4.0)) * dice.random()
        kind = dice.choices(("crash", "vanish", "hang", "deaf"), (6, 1, 2, 1))[0]
        comes_back = dice.random() < 0.4
        faults.append(Fault(round(at, 3), kind, service_id, round(dice.uniform(0.1, 9.0), 3) if comes_back else None))
        if dice.random() < 0.5:
            at += dice.choice((0.0, 0.5, 2.5)) * dice.random()
            kind = dice.choice(("registry_crash", "registry_dies_at_write", "tron_crash", "tron_cut"))
            detail = float(dice.randint(1, 6) * dice.choice((1, -1)))
            lasts = 0.0 if kind == "tron_cut" else round(dice.uniform(0.1, 1.5), 3)
            faults.append(Fault(round(at, 3), kind, "", lasts, detail))
    policy = replace(_policy(dice), reconnect_grace=1.0, reattach_window=8.0, escalate_after=2.0)
    return Plan(seed, policy, tuple(fleet), tuple(faults), (0.0002, 0.005), 1000, None, kind="family")
