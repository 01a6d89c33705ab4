"""What a target is: where its cases come from, and how one is run."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hypothesis import strategies as st

from tests.fuzz.cases import Case, Step

ROOT = Path(__file__).resolve().parents[2]
HARNESS = ROOT / "tests" / "fuzz"

MOST_STEPS = 8


class Rig(Protocol):
    """A running instance of what is fuzzed."""

    def run(self, case: Case) -> None:
        """Run one case. Raises an exception, of any kind, if something that must hold does not hold."""


@dataclass(frozen=True)
class Target:
    """One thing that takes bytes from outside."""

    name: str
    cases: st.SearchStrategy[Case]
    open: Callable[[], AbstractContextManager[Rig]]
    """Starts a fresh instance."""
    renewed_after: int = 500
    """Cases after which the campaign starts a fresh instance, so that a finding needs a short history."""


def sequences(*steps: st.SearchStrategy[Step], most: int = MOST_STEPS) -> st.SearchStrategy[Case]:
    """Return cases of a few steps, each from one of these strategies."""
    return st.lists(st.one_of(*steps), min_size=1, max_size=most).map(tuple)


def step(name: str, data: st.SearchStrategy[bytes]) -> st.SearchStrategy[Step]:
    """Return steps of one name."""
    return data.map(lambda content: Step(name, content))


def place_of(error: BaseException) -> str:
    """Return what tells one finding from another: the kind of the exception, and where the project raised it, or the
    first line of what an alarm said."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(ROOT)
        and not Path(frame.filename).is_relative_to(HARNESS)
        and ".venv" not in frame.filename
    ]
    if frames:
        return f"{type(error).__name__} at {Path(frames[-1].filename).relative_to(ROOT)}:{frames[-1].lineno}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    last = lines[-1] if "Traceback" in str(error) else lines[0]
    return f"{type(error).__name__}: {last[:160]}"
