"""Counts open calls or streams by a key, such as the client that opened them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class OpenCounts:
    """The number of calls or streams that are open, in total and by key. A key with which none is open takes no
    memory."""

    def __init__(self) -> None:
        self.total = 0
        self._by_key: dict[str, int] = {}

    def of(self, key: str) -> int:
        """Return how many calls or streams are open with this key."""
        return self._by_key.get(key, 0)

    @contextmanager
    def one(self, key: str) -> Iterator[None]:
        """Count one more call or stream with this key while the block runs."""
        self.total += 1
        self._by_key[key] = self.of(key) + 1
        try:
            yield
        finally:
            self.total -= 1
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]
