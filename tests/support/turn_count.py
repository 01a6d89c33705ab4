"""Counts the rests between the turns of work that is divided: each element takes a whole turn."""

from __future__ import annotations

import pytest

from grid_hosting import turns


def count_rests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on, each piece of work takes a whole turn. Return a list, which grows by the cause of the turn at each
    rest."""
    causes: list[str] = []
    rest = turns.Turn.rest

    async def counting(turn: turns.Turn) -> None:
        causes.append(turn._cause)  # noqa: SLF001 - which work rests is not told otherwise
        await rest(turn)

    monkeypatch.setattr(turns, "LONGEST", 0.0)
    monkeypatch.setattr(turns.Turn, "rest", counting)
    return causes
