"""The runs of `benchmarks.canaries`: what there is, what must hold of each, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks._deaths import ALLOWED
from benchmarks._report import Figure

INTERVAL = 5.0

EACH_KIND = 5
"""Canaries of each kind (cut, silent) that die early, and as many that die late."""

PEACEFUL_ACK_MS = 50.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run: who attaches how, and what happens to them."""

    name: str
    agents: int
    ramp: float
    per_stream: int = 1
    kill_registry: bool = False
    mass_death: int = 0
    has_goals: bool = True

    def flags(self) -> dict[str, int | str]:
        """What the driver is started with."""
        early = {} if self.mass_death else {"early_cut": EACH_KIND, "early_silent": EACH_KIND}
        return {
            "agents": self.agents,
            "ramp": f"{self.ramp}s",
            "interval": f"{INTERVAL}s",
            "per_stream": self.per_stream,
            "canaries": (4 if self.mass_death else 2) * EACH_KIND,
            "early_at": 2 if self.kill_registry else 1,
            **early,
        }


def scenarios(sizes: list[int], ramps: list[float]) -> list[Scenario]:
    """Everything that the benchmark can run."""
    return [
        *(Scenario(f"{agents:,} in {ramp:g} s", agents, ramp) for agents in sizes for ramp in ramps),
        Scenario("kill -9 of the registry", 10_000, 10.0, kill_registry=True),
        # From 30 % on it would be a mass failure, which is one alert.
        Scenario("8,000 of 28,000 die", 28_000, 20.0, per_stream=4, mass_death=8_000),
        Scenario("8,000 of 40,000 die", 40_000, 20.0, per_stream=4, mass_death=8_000, has_goals=False),
    ]


def goals(scenario: Scenario, result: dict[str, Any]) -> list[Figure]:
    """What must hold of one run."""
    if not scenario.has_goals:
        return []

    def figure(what: str, value: float | None, unit: str, goal: float, *, at_least: bool = False) -> Figure:
        return Figure(f"canaries: {scenario.name}: {what}", value, unit, goal=goal, at_least=at_least)

    in_time = f"alerts within their bound + {ALLOWED * 1000:g} ms"
    due = result["alerts_due"]
    held = [
        figure(in_time, result["alerts_in_time"], f"of {due}", due, at_least=True),
        figure("events about those who live", sum(result["false"].values()), "events", 0),
        figure("monitor_lost", len(result["monitor_lost"]), "events", 0),
        figure("registry_stalled", len(result["registry_stalled"]), "events", 0),
        figure("ack p99 in peace", result["ack_ms"].get("p99"), "ms", PEACEFUL_ACK_MS),
    ]
    if scenario.mass_death:
        for kind in ("service_suspect", "service_down"):
            heard = result["mass_told"].get(kind, {"count": 0})["count"]
            what = f"{kind} of the mass that its parent heard"
            held.append(figure(what, heard, f"of {scenario.mass_death}", scenario.mass_death, at_least=True))
    return held


def row(result: dict[str, Any], bare: dict[str, Any] | None) -> dict[str, str]:
    """One run as it is printed."""

    def beside(ours: object, theirs: object) -> str:
        return f"{ours}" if bare is None else f"{ours} / {theirs}"

    def seconds(value: float | None) -> str:
        return "never" if value is None else f"{value:.1f}"

    other = bare or {"attached_after_s": None, "ack_ms": {}, "cpu_percent": {}}
    cpu = result["cpu_percent"]
    pauses = {name: max(each, key=lambda cause: each[cause]) for name, each in result["pauses_ms"].items() if each}
    return {
        "attached [s]": beside(seconds(result["attached_after_s"]), seconds(other["attached_after_s"])),
        "in time": f"{result['alerts_in_time']} of {result['alerts_due']}",
        "lost": str(result["alerts_lost"]),
        "latest [s]": "-" if result["latest_s"] is None else f"{result['latest_s']:.2f}",
        "false": str(sum(result["false"].values())),
        "TRON lost": str(len(result["monitor_lost"])),
        "stalls": str(len(result["registry_stalled"])),
        "ack p99 [ms]": beside(result["ack_ms"].get("p99", "-"), other["ack_ms"].get("p99", "-")),
        "registry [% cpu]": beside(f"{cpu['registry']:.0f}", f"{other['cpu_percent'].get('bare', 0):.0f}"),
        "TRON [% cpu]": f"{cpu['monitor']:.0f}",
        "driver [% cpu]": f"{cpu['driver']:.0f}",
        "overtaken": f"{result['suspicions_overtaken']}",
        "removals in time": f"{result['removals_in_time']} of {result['deaths']}",
        "longest pauses [ms]": ", ".join(
            f"{name} {result['pauses_ms'][name][cause]:.0f} ({cause})" for name, cause in pauses.items()
        )
        or "not told",
    }


def explain(result: dict[str, Any]) -> None:
    """What a table has no room for."""
    for each in result["late"]:
        how = "never came" if each["late_s"] is None else f"{each['late_s']:.2f} s after its bound"
        print(f"  late: {each['type']} of {each['service_id']}: {how}")
    for key in (
        "false",
        "monitor_lost",
        "registry_stalled",
        "pauses_ms",
        "mass_told",
        "totals",
        "ack_ms",
        "mass_ack_ms",
        "back_after_s",
    ):
        if result.get(key):
            print(f"  {key}: {result[key]}")
