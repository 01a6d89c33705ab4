"""Records which failures are listed in the alert about a failed ancestor, so that they need no alert of their own.
Pure."""

from __future__ import annotations

from collections.abc import Iterable

from grid_model.observation import Facts


class Groups:
    """The alerts that list other services. Bounded by the registered services: an entry is removed with its service."""

    def __init__(self) -> None:
        self._listed_in: dict[str, str] = {}
        self._lists: dict[str, tuple[str, tuple[str, ...], int | None]] = {}
        """By service_id: the alert of its death, the services that this alert lists, in order, and `plain_at`."""
        self._set: tuple[str, frozenset[str]] = ("", frozenset())
        """The alert that was looked up last, and the services that it lists; many services look up the same alert."""

    def put(self, service_id: str, alert_id: str, subtree: tuple[str, ...], plain_at: int | None = None) -> None:
        """Record that the alert about a service's death lists the services in `subtree`. `plain_at`: the version of the
        tree in which exactly these services were below the service; None if some were taken from the lists of other
        alerts."""
        if self._set[0] == alert_id:
            self._set = ("", frozenset())
        self._listed_in |= dict.fromkeys(subtree, alert_id)
        self._lists[service_id] = alert_id, subtree, plain_at

    def unlist(self, service_ids: Iterable[str]) -> None:
        """Remove these services from the lists, because they are back, or the alert was refused."""
        for service_id in service_ids:
            self._listed_in.pop(service_id, None)

    def forget(self, service_id: str) -> None:
        """Remove the entries of a service that is no longer registered."""
        self._listed_in.pop(service_id, None)
        self._lists.pop(service_id, None)

    def alert_listing(self, facts: Facts) -> str:
        """Return the alert_id of another service's alert that lists this service; empty if there is none."""
        return facts.grouped_into or self._listed_in.get(facts.service_id, "")

    def subtree_of(self, service_id: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
        """Return the services that the alert about a service's death lists; `otherwise` if that alert is not known
        here."""
        known = self._lists.get(service_id)
        return otherwise if known is None else known[1]

    def is_plain(self, service_id: str, version: int) -> bool:
        """Return whether the alert about a service's death lists exactly the services that are below it in this version
        of the tree."""
        known = self._lists.get(service_id)
        return known is not None and known[2] == version

    def lists_all(self, alert_id: str, ancestors: Iterable[str], subtree: tuple[str, ...]) -> bool:
        """Return whether one alert lists a service and also its whole subtree. `alert_id`: the alert about an ancestor
        that lists the service; empty if there is none. The time that this takes does not depend on the number of other
        services that the alert lists."""
        if not alert_id or not subtree:
            return bool(alert_id)
        for ancestor in ancestors:
            known = self._lists.get(ancestor)
            if known is not None and known[0] == alert_id:
                if self._set[0] != alert_id:
                    self._set = alert_id, frozenset(known[1])
                return self._set[1].issuperset(subtree)
        return False
