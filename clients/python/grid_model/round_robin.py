"""Items of several parties that wait, in an order in which the parties take turns. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Item = TypeVar("Item")


class RoundRobin(Generic[Item]):
    """The waiting items of each party, oldest first. Each call takes constant time.

    A party with one item does not wait for the thousands of another party. Each item waits once.
    """

    def __init__(self) -> None:
        self._of_party: OrderedDict[str, OrderedDict[Item, None]] = OrderedDict()
        """The party whose turn is next comes first."""

    def __bool__(self) -> bool:
        return bool(self._of_party)

    def put(self, party: str, item: Item) -> None:
        """Add an item after those of the same party."""
        items = self._of_party.get(party)
        if items is None:
            items = self._of_party[party] = OrderedDict()
        items[item] = None

    def take(self) -> Item:
        """Remove and return the oldest item of the party whose turn it is. Raises StopIteration if no item waits."""
        party, items = next(iter(self._of_party.items()))
        item, _ = items.popitem(last=False)
        if items:
            self._of_party.move_to_end(party)
        else:
            del self._of_party[party]
        return item

    def remove(self, party: str, item: Item) -> None:
        """Remove an item that waits. Raises KeyError if it does not."""
        items = self._of_party[party]
        del items[item]
        if not items:
            del self._of_party[party]
