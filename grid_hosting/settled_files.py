"""Decides when files that somebody replaces are read: once two looks found them unchanged, because several files are
rarely replaced in the same moment, and a file is not written in one. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

S = TypeVar("S")


class SettledFiles(Generic[S]):
    """What was seen of the files. `S`: what changes when the files change."""

    def __init__(self, used: S) -> None:
        """`used`: the state of the files that are in use."""
        self.used = used
        """The state that is in use. While another one is found, each look finds it again."""
        self._seen = used

    def are_new(self, found: S) -> bool:
        """Return whether these files are to be read: they are not those in use, and the look before found the same."""
        settled, self._seen = found == self._seen, found
        return settled and found != self.used
