"""Mistakes of the registry about heartbeats in columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from registry_server.core import sessions
from registry_server.core.effects import Rejected, SupersededBy, UnknownService
from registry_server.core.heartbeats import Heartbeats
from registry_server.core.service import Instant
from tests.simulation.mutants.mutant import Mutant, Patches


def _read_as(instead: Callable[[Heartbeats, int], int]) -> Patches:
    """Each incarnation of a column is read as another one."""
    columns = Heartbeats.columns

    def misread(self: Heartbeats, session_id: int, sent: Any, now: Instant, **options: Any) -> list[Rejected]:
        numbers = [instead(self, number) for number in sent.incarnations]
        return columns(self, session_id, replace(sent, incarnations=numbers), now, **options)

    return [(Heartbeats, "columns", misread)]


def _newest_of_its_service(self: Heartbeats, number: int) -> int:
    record = self._records.get(self._directory.past_owner(number))
    return number if record is None else record.incarnation


def _one_before(self: Heartbeats, number: int) -> int:
    return number - 1 if number - 1 in self._by_incarnation else number


def _unknown_is_not_told() -> Patches:
    """A service that was removed as down goes on in columns, and is never registered again."""
    answer = Heartbeats._answer_unknown

    def silent(self: Heartbeats, session_id: int, incarnations: Any, rights: Any) -> list[Rejected]:
        before = len(self._outgoing.sends)
        rejected = answer(self, session_id, incarnations, rights)
        told = self._outgoing.sends[before:]
        kept = [each for each in told if not isinstance(each[1], UnknownService | SupersededBy)]
        self._outgoing.sends[before:] = kept
        return rejected

    # The end of a stream without services would correct it, too, a minute later.
    return [(Heartbeats, "_answer_unknown", silent), (sessions, "EMPTY_FOR", float("inf"))]


MISTAKES = (
    Mutant(
        "superseded_column_counts",
        "a superseded incarnation in a column counts as heard",
        ("P5",),
        lambda: _read_as(_newest_of_its_service),
    ),
    Mutant(
        "column_of_another", "a beat in a column counts for another service", ("P5",), lambda: _read_as(_one_before)
    ),
    Mutant(
        "unknown_column_untold",
        "an incarnation in a column that is over is not answered",
        ("P3", "P2", "P5"),
        _unknown_is_not_told,
    ),
)
