"""What a mutant is: one deliberate mistake, and the promises that it may break first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Patches = list[tuple[Any, str, Any]]
"""Where, which attribute, and what is there instead."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake; `seeds` is how many seeds it may take until it is caught."""

    name: str
    what: str
    breaks: tuple[str, ...]
    patches: Callable[[], Patches]
    kind: str = "fleet"
    seeds: int = 10_000
    first: int = 0
    """Where to begin: a mistake that shows in one of thousands of seeds need not be looked for from 0 each time."""
