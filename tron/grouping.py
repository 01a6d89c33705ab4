"""Which failures are listed in the alert of an ancestor, so that they need no alert of their own. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from grid_model.observation import Facts


class Groups:
    """The alerts that list other services. Bounded by the registered services: each is forgotten when it is gone."""

    def __init__(self) -> None:
        self._listed_in: dict[str, str] = {}
        self._lists: dict[str, tuple[str, tuple[str, ...], int | None]] = {}
        """By service_id: the alert of its death, the services that this alert lists, in order, and `plain_at`."""
        self._set: tuple[str, frozenset[str]] = ("", frozenset())
        """The alert that was asked about last, and what it lists: one set, for many ask about one alert."""

    def put(self, service_id: str, alert_id: str, subtree: tuple[str, ...], plain_at: int | None = None) -> None:
        """The alert of a service's death lists its subtree. `plain_at`: the version of the tree at which these were the
        services below it, and no others; None if another alert added some."""
        if self._set[0] == alert_id:
            self._set = ("", frozenset())
        self._listed_in |= dict.fromkeys(subtree, alert_id)
        self._lists[service_id] = alert_id, subtree, plain_at

    def unlist(self, service_ids: Iterable[str]) -> None:
        """These are not listed any more: they are back, or the alert was refused."""
        for service_id in service_ids:
            self._listed_in.pop(service_id, None)

    def forget(self, service_id: str) -> None:
        """The service is gone."""
        self._listed_in.pop(service_id, None)
        self._lists.pop(service_id, None)

    def alert_listing(self, facts: Facts) -> str:
        """The alert_id of another service's alert that lists this one; empty if none does."""
        return facts.grouped_into or self._listed_in.get(facts.service_id, "")

    def subtree_of(self, service_id: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
        """The services that the alert of a service's death lists; `otherwise` if its alert is not known here."""
        known = self._lists.get(service_id)
        return otherwise if known is None else known[1]

    def is_plain(self, service_id: str, version: int) -> bool:
        """Whether the alert of a service's death lists only services that are below it in this version of the tree."""
        known = self._lists.get(service_id)
        return known is not None and known[2] == version

    def lists_all(self, alert_id: str, ancestors: Iterable[str], subtree: tuple[str, ...]) -> bool:
        """Whether this alert of an ancestor, which lists a service (empty: none does), lists its whole subtree too.
        The time does not depend on how many others the alert lists."""
        if not alert_id or not subtree:
            return bool(alert_id)
        for ancestor in ancestors:
            known = self._lists.get(ancestor)
            if known is not None and known[0] == alert_id:
                if self._set[0] != alert_id:
                    self._set = alert_id, frozenset(known[1])
                return self._set[1].issuperset(subtree)
        return False
