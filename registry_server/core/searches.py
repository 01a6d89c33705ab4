"""Searches for the services that a caller may read because of its own services. They are done in parts, and kept until
the services, their parents or their owners change. Pure.

A search may take long: one owner can have hundreds of thousands of services. So callers that ask the same at the same
time share one search, and at most one more waits for it. It begins when the first is over, so it finds everything that
was true before any of its callers asked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Generic, TypeVar

V = TypeVar("V")

MOST_KEPT = 256
"""Maximum number of searches that are kept. Overflow rule: the one that was asked for longest ago is forgotten, and
done again if it is needed."""

MOST_FOUND = 500_000
"""Maximum number of ids that all kept searches together have found. Overflow rule: as for MOST_KEPT, but the newest
search is always kept. The bound is applied when a search is added."""


class Search(Generic[V]):
    """One search. `find` does it: it fills the given table in parts, and yields between two parts. `version` returns a
    number that grows whenever the result may change."""

    __slots__ = ("_before", "_find", "_steps", "_version", "found", "is_done", "version")

    def __init__(
        self,
        find: Callable[[dict[str, V]], Iterator[None]],
        version: Callable[[], int],
        before: Search[V] | None = None,
    ) -> None:
        """`before` is a search that must be over before this one begins."""
        self._find = find
        self._version = version
        self._before = before
        self._steps: Iterator[None] | None = None
        self.version: int | None = None
        """The version at which the search began; None if it has not begun."""
        self.found: dict[str, V] = {}
        """The result. If anything changed while the search was under way, parts of it may be of before or after the
        change."""
        self.is_done = False

    @property
    def is_current(self) -> bool:
        """Whether nothing has changed since the search began."""
        return self.version == self._version()

    @property
    def will_be_current(self) -> bool:
        """Whether the result will contain everything that is true now."""
        return self.version is None or self.is_current

    def work(self) -> bool:
        """Do one part of the search; return whether it is over."""
        if self.is_done:
            return True
        if self._before is not None:
            if not self._before.work():
                return False
            self._before = None
        if self._steps is None:
            self.version = self._version()
            self._steps = self._find(self.found)
        if next(self._steps, self) is self:
            self.is_done, self._steps = True, None
        return self.is_done

    def result(self) -> Mapping[str, V]:
        """Finish the search at once, and return what it found."""
        while not self.work():
            pass
        return self.found


class Searches:
    """The newest search for each question."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, Search[Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(
        self, question: Hashable, find: Callable[[dict[str, V]], Iterator[None]], version: Callable[[], int]
    ) -> Search[V]:
        """Return a search whose result will contain everything that is true now: the kept one if it will, or else a new
        one. `find` and `version` are those of `Search`."""
        search: Search[V] | None = self._kept.get(question)
        if search is None or not search.will_be_current:
            search = Search(find, version, before=None if search is None or search.is_done else search)
            self._kept[question] = search
            self._forget()
        self._kept.move_to_end(question)
        return search

    def _forget(self) -> None:
        found = sum(len(each.found) for each in self._kept.values())
        while len(self._kept) > MOST_KEPT or (found > MOST_FOUND and len(self._kept) > 1):
            _, oldest = self._kept.popitem(last=False)
            found -= len(oldest.found)
