"""Plays all detectors with all thresholds on the same traces, in all environments."""

from __future__ import annotations

import multiprocessing
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.false_alarms.detectors import FailureDetector, FixedTimeouts, PhiAccrual, Tron, failures_of
from benchmarks.false_alarms.environments import DAY, ENVIRONMENTS, HOUR
from benchmarks.false_alarms.measures import Measures
from benchmarks.false_alarms.suggestions import Suggested
from benchmarks.false_alarms.traces import travel

AGENT_DAYS = {1.0: 320.0, 5.0: 1200.0, 30.0: 3600.0}
"""How many agent-days are simulated in each environment, by the interval in seconds."""

AGENTS = 32
"""The agent-days are shared by this many agents; each is a unit of work for one process."""

FAILURES = 300
"""Failures of each agent."""

SEED = 20021105

LONGEST_TIMEOUT = 180.0

MISSES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 60, 90, 120, 180)
FACTORS = (1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0)
PHI = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 24.0, 40.0, 80.0, 160.0, 300.0)
LEAST_DEVIATION = 0.1

TRON = "TRON"
FIXED = "fixed timeout"
PHI_PAPER = "phi accrual"
PHI_FLOOR = "phi accrual, deviation >= 0.1 s"
SUGGESTED = "suggested by tron explain"


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent: the unit of work."""

    environment: int
    interval: float
    number: int
    seconds: float


Key = tuple[str, float, str, str]
"""Environment, interval, detector, threshold."""


def detectors(interval: float) -> dict[str, FailureDetector]:
    """Return the detectors for agents with this heartbeat interval, with all thresholds, by name."""
    return {
        TRON: Tron([each for each in MISSES if each * interval <= LONGEST_TIMEOUT]),
        FIXED: FixedTimeouts([each * interval for each in FACTORS if each * interval <= LONGEST_TIMEOUT]),
        PHI_PAPER: PhiAccrual(PHI),
        PHI_FLOOR: PhiAccrual(PHI, LEAST_DEVIATION),
        SUGGESTED: Suggested(),
    }


def play(agent: Agent) -> dict[Key, Measures]:
    """Return the measures of all detectors on the trace of one agent."""
    environment = ENVIRONMENTS[agent.environment]
    random = Random(f"{SEED} {environment.name} {agent.interval} {agent.number}")
    trace = travel(environment, agent.interval, agent.seconds, random)
    failures = failures_of(trace, FAILURES, random)
    return {
        (environment.name, agent.interval, name, threshold): measures
        for name, detector in detectors(agent.interval).items()
        for threshold, measures in detector.play(trace, failures).items()
    }


def agents(days: Mapping[float, float], number: int = AGENTS) -> list[Agent]:
    """Return the agents that share these agent-days in each environment; days by interval."""
    return [
        Agent(environment, interval, each, total * DAY / number)
        for environment in range(len(ENVIRONMENTS))
        for interval, total in days.items()
        for each in range(number)
    ]


def sweep(days: Mapping[float, float], processes: int | None = None) -> list[dict[str, Any]]:
    """Return one row for each environment, interval, detector and threshold; the same for any number of processes."""
    parts: dict[Key, list[Measures]] = defaultdict(list)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for found in pool.imap(play, agents(days)):
            for key, measures in found.items():
                parts[key].append(measures)
    return rows((key, Measures().merge(measures)) for key, measures in parts.items())


def rows(measured: Iterable[tuple[Key, Measures]]) -> list[dict[str, Any]]:
    """Return the measures as they are written to JSON, times in seconds with four digits."""
    found = []
    for (environment, interval, detector, threshold), each in measured:
        row: dict[str, Any] = {
            "environment": environment,
            "interval": interval,
            "detector": detector,
            "threshold": threshold,
            "agent_days": _short(each.days),
            "mistakes": each.mistakes,
            "mistakes_per_agent_day": _short(each.mistakes_per_day),
            "detection_mean": _short(each.detection),
            "detection_p99": _short(each.detection_at(0.99)),
        }
        if each.mistakes:
            row |= {"recurrence_hours": _short(each.recurrence / HOUR), "duration_mean": _short(each.duration)}
        else:
            row |= {"at_most_per_agent_day": _short(each.at_most_per_day)}
        found.append(row)
    return found


def _short(value: float) -> float:
    return float(f"{value:.4g}")
