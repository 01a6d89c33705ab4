"""Steps and cases: what is sent to a target, in order, and how it is written down for a test."""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """One thing that is sent: where to, and the bytes."""

    name: str
    data: bytes


Case = tuple[Step, ...]


def to_text(case: Case) -> str:
    """Return a case as Python code, for a test in `findings.py`."""
    return "(" + " ".join(f"Step({step.name!r}, {step.data!r})," for step in case) + ")"
