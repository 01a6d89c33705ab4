"""Lists services in pages; all pages of a list show the same revision. Pure.

A list refers to the immutable services that readers last saw and copies none of them, so each service in it costs one
reference. Services are filtered and sorted once, in short parts, for the first page. All pages are taken from the
result, which the page token identifies. The lists that are kept are bounded in number, size and age; a reader of a
discarded list must list again.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from grid_model.access import Principal
from grid_model.errors import FieldError, InvalidRequest, PageTokenExpired
from grid_model.liveness import Liveness
from grid_model.service import ServiceRole, ServiceStatus, ServiceType

from registry_server.core.service import Service

PART = 1000
"""Number of services in one step of the work."""

MAX_LISTS = 64
"""Maximum number of lists that are kept until their next page is requested. Overflow rule: the list whose last page was
requested longest ago is discarded."""

MAX_KEPT = 500_000
"""Maximum number of services in all lists that are kept. Each takes a reference, and its view if that is no longer the
newest. Overflow rule: as for MAX_LISTS, but one list is always kept."""

MAX_IDLE = 60.0
"""Seconds for which a list is kept after its last page was requested."""


@dataclass(frozen=True, slots=True)
class ServiceFilter:
    """The conditions that a listed service must meet; None or an empty value matches all services."""

    type: ServiceType | None = None
    role: ServiceRole | None = None
    status: ServiceStatus | None = None
    liveness: Liveness | None = None
    cap: str = ""
    name: str = ""
    labels: dict[str, Any] = field(default_factory=dict, compare=False)
    labels_as_text: str = ""
    """The labels as JSON text, so that filters can be compared."""
    reader: Principal | None = None
    """The caller, if the list contains only services that this caller may read; None for lists of all services."""

    @classmethod
    def with_labels(cls, labels: dict[str, Any], **wanted: Any) -> ServiceFilter:
        """Return a filter for services that have all these labels, each with exactly this value, and that meet the
        other given conditions (`wanted`)."""
        return cls(labels=labels, labels_as_text=json.dumps(labels, sort_keys=True) if labels else "", **wanted)

    def admits(self, service: Service) -> bool:
        """Return whether a service matches the filter."""
        spec = service.spec
        return (
            (self.type is None or spec.type is self.type)
            and (self.role is None or spec.role is self.role)
            and (not self.cap or self.cap in spec.caps)
            and (not self.name or spec.name == self.name)
            and (self.status is None or service.report.status is self.status)
            and (self.liveness is None or service.liveness is self.liveness)
            and all(key in spec.labels and spec.labels[key] == value for key, value in self.labels.items())
        )


class Listing:
    """All services that match, ordered by name, role and service_id, as of one revision."""

    def __init__(
        self,
        number: int,
        revision: int,
        wanted: ServiceFilter,
        services: Sequence[Service],
        see: Callable[[Service], Service | None] | None = None,
    ) -> None:
        """`see` returns a service as the reader may see it, and None if the reader may not see it; without `see`, the
        reader may see all."""
        self.number = number
        self.revision = revision
        self.wanted = wanted
        self._see = see
        self.used_at = 0.0
        self.readers = 0
        """Number of readers that were given the first page, and not yet the last one."""
        self._services: list[Service] = []
        self._steps: Iterator[None] | None = self._find(services)

    def work(self) -> bool:
        """Do one part of the work; return whether the list is ready."""
        if self._steps is not None and next(self._steps, self) is self:
            self._steps = None
        return self._steps is None

    @property
    def total(self) -> int:
        """Return how many services match. The list must be ready."""
        assert self._steps is None
        return len(self._services)

    def part(self, start: int, size: int) -> list[Service]:
        """Return up to `size` services, beginning at the position `start`. The list must be ready."""
        assert self._steps is None
        return self._services[start : start + size]

    def _find(self, services: Sequence[Service]) -> Iterator[None]:
        runs: list[list[Service]] = []  # without their keys: hundreds of thousands of tuples would call the collector
        for start in range(0, len(services), PART):
            part = services[start : start + PART]
            if self._see is not None:
                part = [seen for seen in map(self._see, part) if seen is not None]
            found = [each for each in part if self.wanted.admits(each)]
            if found:
                found.sort(key=_key)
                runs.append(found)
            yield
        if len(runs) == 1:
            self._services = runs.pop()
        for count, service in enumerate(heapq.merge(*runs, key=_key), 1):
            self._services.append(service)
            if count % PART == 0:
                yield


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; the token is empty on the last page."""

    services: list[Service]
    token: str


class Listings:
    """The lists of services that are being read in pages."""

    def __init__(self, life: str) -> None:
        """`life` is a text that is unique to this run of the registry, so that page tokens of another run are
        recognized as expired."""
        self._life = life
        self._number = 0
        self._revision = -1
        self._newest: dict[ServiceFilter, Listing] = {}
        """The lists at the newest revision; requests with equal filters share one list."""
        self._kept: OrderedDict[int, Listing] = OrderedDict()
        """The lists with further pages; the one that was used longest ago comes first."""

    def first(
        self,
        wanted: ServiceFilter,
        revision: int,
        shown: Callable[[], Sequence[Service]],
        see: Callable[[Service], Service | None] | None = None,
    ) -> Listing:
        """Return the list of the services that match `wanted` at `revision`, which must be the newest revision;
        requests with equal filters share a list. `shown` returns all services at that revision, and `see` what
        the reader may see of one; see `Listing`. The list may not be ready: call `Listing.work` until it is."""
        if revision != self._revision:
            self._revision = revision
            self._newest.clear()
        listing = self._newest.get(wanted)
        if listing is None:
            while len(self._newest) >= MAX_LISTS:
                del self._newest[next(iter(self._newest))]
            self._number += 1
            listing = self._newest[wanted] = Listing(self._number, revision, wanted, shown(), see)
        return listing

    def resume(self, token: str, wanted: ServiceFilter, now: float) -> tuple[Listing, int]:
        """Return the list that a page token continues, and the position at which it continues.

        Raises PageTokenExpired if the list is no longer kept. Raises InvalidRequest if the token is invalid, or belongs
        to a list with other filters.
        """
        life, number, start = _read(token)
        self.expire(now)
        listing = self._kept.get(number) if life == self._life else None
        if listing is None:
            raise PageTokenExpired(
                "the list that this page_token continues is no longer kept; list again from the first page"
            )
        if listing.wanted != wanted:
            raise InvalidRequest.of(
                FieldError("page_token", "belongs to a list with other filters; filters must not change between pages")
            )
        if not 0 < start < listing.total:
            raise InvalidRequest.of(FieldError("page_token", "was not issued by this registry"))
        return listing, start

    def page(self, listing: Listing, start: int, size: int, now: float) -> Page:
        """Return one page of a list that is ready. If more pages follow, the list is kept, within the bounds on kept
        lists."""
        listing.used_at = now
        end = start + size
        if end >= listing.total:
            if start:
                listing.readers -= 1
            if listing.readers <= 0:
                self._kept.pop(listing.number, None)
            return Page(listing.part(start, size), "")
        if not start:
            listing.readers += 1
        self._kept[listing.number] = listing
        self._kept.move_to_end(listing.number)
        self.expire(now)
        while len(self._kept) > MAX_LISTS or (len(self._kept) > 1 and self.kept > MAX_KEPT):
            self._kept.popitem(last=False)
        return Page(listing.part(start, size), _write(self._life, listing.number, end))

    def expire(self, now: float) -> float | None:
        """Discard the lists of which no page was requested for MAX_IDLE seconds. Return the time at which this must be
        called again; None if no list is kept."""
        while self._kept:
            oldest = next(iter(self._kept.values()))
            if now - oldest.used_at < MAX_IDLE:
                return oldest.used_at + MAX_IDLE
            self._kept.popitem(last=False)
        return None

    @property
    def kept(self) -> int:
        """The number of services in all lists that are kept."""
        return sum(listing.total for listing in self._kept.values())


def _key(service: Service) -> tuple[str, int, str]:
    return service.spec.name, service.spec.role, service.spec.service_id


def _write(life: str, number: int, start: int) -> str:
    return base64.urlsafe_b64encode(f"{life}.{number}.{start}".encode()).decode()


def _read(token: str) -> tuple[str, int, int]:
    try:
        life, number, start = base64.b64decode(token, altchars=b"-_", validate=True).decode().split(".")
        if not (number.isascii() and number.isdecimal() and start.isascii() and start.isdecimal()):
            raise ValueError(token)
        return life, int(number), int(start)
    except (ValueError, binascii.Error):
        raise InvalidRequest.of(FieldError("page_token", "was not issued by this registry")) from None
