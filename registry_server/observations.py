"""What TRON is told: the newest facts about whoever changed, merged while the observer is not reading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heard:
    """One beat of a known incarnation; `at` in attentive seconds."""

    incarnation: int
    observation: int
    at: float


@dataclass(frozen=True, slots=True)
class Frame:
    """What one message to the observer holds: whose facts to read, who beat, who is gone."""

    changed: tuple[str, ...]
    beats: tuple[Heard, ...]
    removed: tuple[str, ...]


class ObservationFeed:
    """What one observer has not been told yet.

    Overflow rule: nothing queues. Facts are named, not copied, and read when the frame is built; a later beat takes the
    place of an earlier one. So what waits is bounded by the number of services.
    """

    def __init__(self, service_ids: list[str]) -> None:
        self._changed: dict[str, None] = dict.fromkeys(service_ids)
        self._beats: dict[str, Heard] = {}
        self._removed: dict[str, None] = {}
        self.urgent = False
        """Whether something waits that must not wait for the next tick."""

    def changed(self, service_id: str) -> None:
        """More than a beat changed about this service."""
        self._removed.pop(service_id, None)
        self._changed[service_id] = None
        self.urgent = True

    def heard(self, service_id: str, beat: Heard) -> None:
        """A beat of this service came."""
        self._beats[service_id] = beat

    def removed(self, service_id: str) -> None:
        """The service is gone."""
        self._changed.pop(service_id, None)
        self._beats.pop(service_id, None)
        self._removed[service_id] = None
        self.urgent = True

    def take(self) -> Frame:
        """All that waits, which is then told."""
        frame = Frame(tuple(self._changed), tuple(self._beats.values()), tuple(self._removed))
        self._changed = {}
        self._beats = {}
        self._removed = {}
        self.urgent = False
        return frame
