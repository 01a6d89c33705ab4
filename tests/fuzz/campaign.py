"""Runs a target for a time, and collects what it finds."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.cases import Case, to_text
from tests.fuzz.minimise import minimise
from tests.fuzz.targets import Rig, Target, place_of

MINIMISED_WITHIN = 20.0
"""Seconds for the shortest case of one finding."""

MOST_FINDINGS = 20
"""Findings of one target after which it ends: one mistake often has many faces."""

ROUND = 100
"""Cases that Hypothesis draws before the time is looked at."""


@dataclass
class Finding:
    """One thing that must not happen, and how to show it."""

    target: str
    place: str
    error: str
    case: Case

    def as_json(self) -> dict[str, str]:
        """Return it as a JSON object."""
        return {"target": self.target, "place": self.place, "error": self.error, "case": to_text(self.case)}


@dataclass
class Result:
    """What a target executed and found."""

    target: str
    cases: int = 0
    steps: int = 0
    seconds: float = 0.0
    findings: dict[str, Finding] = field(default_factory=dict)


class Campaign:
    """Runs one target with fresh instances from time to time."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.result = Result(target.name)
        self._history: list[Case] = []
        self._stack = ExitStack()
        self._rig: Rig | None = None

    def run(self, seconds: float, first_seed: int | None = None) -> Result:
        """Run for this many seconds."""
        began = time.monotonic()
        deadline = began + seconds
        number = random.randrange(1 << 30) if first_seed is None else first_seed
        while time.monotonic() < deadline and len(self.result.findings) < MOST_FINDINGS:
            self._round(number, ROUND, deadline)
            number += 1
        self._renew()
        self.result.seconds = time.monotonic() - began
        return self.result

    def run_examples(self, count: int, first: Sequence[Case] = ()) -> Result:
        """Run these cases, then a fixed number of drawn ones, the same ones each time."""
        for case in first:
            self._run_case(case)
        self._round(0, count, float("inf"))
        self._renew()
        return self.result

    def _round(self, number: int, count: int, deadline: float) -> None:
        @seed(number)
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=self._target.cases)
        def each(case: Case) -> None:
            if time.monotonic() < deadline and len(self.result.findings) < MOST_FINDINGS:
                self._run_case(case)

        each()

    def _run_case(self, case: Case) -> None:
        if self._rig is None or len(self._history) >= self._target.renewed_after:
            self._renew()
            self._rig = self._stack.enter_context(self._target.open())
        self.result.cases += 1
        self.result.steps += len(case)
        self._history.append(case)
        try:
            self._rig.run(case)
        except Exception as error:
            history, self._history = self._history, []
            self._record(error, history)
            self._renew()

    def _renew(self) -> None:
        """End the instance; what it does not survive is a finding too."""
        self._rig = None
        stack, self._stack = self._stack, ExitStack()
        history, self._history = self._history, []
        try:
            stack.close()
        except Exception as error:
            if history:
                self._record(error, history)

    def _record(self, error: Exception, history: list[Case]) -> None:
        place = place_of(error)
        if place in self.result.findings:
            return
        finding = Finding(self._target.name, place, str(error)[-4000:], history[-1])
        self.result.findings[place] = finding
        whole = tuple(step for case in history for step in case)
        for candidate in (history[-1], whole):
            if self._shows(candidate, place):
                finding.case = minimise(candidate, lambda case: self._shows(case, place), MINIMISED_WITHIN)
                return

    def _shows(self, case: Case, place: str) -> bool:
        """Return whether a fresh instance shows the same finding."""
        try:
            with self._target.open() as rig:
                rig.run(case)
        except Exception as error:
            return place_of(error) == place
        return False
