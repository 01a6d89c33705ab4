"""A queue for the items of several parties, which are served in turn. This module does no I/O."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

Item = TypeVar("Item")


class RoundRobin(Generic[Item]):
    """A queue for the items of several parties. The parties take turns, and the items of one party are served in the
    order in which they were added.

    So a party with one item does not wait until thousands of items of another party are served. Every method takes
    constant time.
    """

    def __init__(self) -> None:
        self._of_party: OrderedDict[str, OrderedDict[Item, None]] = OrderedDict()
        """The party whose turn is next comes first."""

    def __bool__(self) -> bool:
        return bool(self._of_party)

    def put(self, party: str, item: Item) -> None:
        """Add an item behind the other items of its party. An item that already waits keeps its place."""
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
        """Remove a waiting item of a party. Raises KeyError if the item does not wait."""
        items = self._of_party[party]
        del items[item]
        if not items:
            del self._of_party[party]
