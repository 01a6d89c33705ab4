"""Decides when files that were replaced are read again: once two checks in a row found them in the same state. Several
files are rarely replaced at the same moment, and writing one takes time. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

S = TypeVar("S")


class SettledFiles(Generic[S]):
    """Remembers the state of some files at the last check. `S` is a value that changes when the files change."""

    def __init__(self, used: S) -> None:
        """`used`: the state of the files that are in use."""
        self.used = used
        """The state of the files that are in use. The owner of this object sets it when it uses new files; until then,
        each check reports the new files again."""
        self._seen = used

    def are_new(self, found: S) -> bool:
        """Return whether files in this state must be read: they are not the ones in use, and the previous check found
        the same state."""
        settled, self._seen = found == self._seen, found
        return settled and found != self.used
