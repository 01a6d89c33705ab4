"""Builds one message of relayed heartbeats. Heartbeats travel in columns if the registry supports columns; those with
values that columns cannot carry travel one by one. No I/O."""

from __future__ import annotations

from math import nan

from grid.registry.v1 import heartbeat_pb2
from tron_client import words

from gateway_http.replica.entry import Reported

BATCH_BYTES = 256 << 10
"""Size in bytes at which a message is full; the registry accepts messages of up to one megabyte."""

BATCH_BEATS = 5000

UNSET_DEPTH = -(2**63)
"""The value in the column `queue_depth` for a heartbeat that reports no queue depth."""


class BeatBatch:
    """The heartbeats of the next message. `columns`: whether the registry supports columns; `on_behalf_of`: the
    principal in whose name the heartbeats are sent; empty without authentication."""

    def __init__(self, sequence: int, *, columns: bool, on_behalf_of: str = "") -> None:
        self._sequence = sequence
        self._on_behalf_of = on_behalf_of
        self._columns = columns
        self._beats: list[heartbeat_pb2.Beat] = []
        self._size = 0
        self._reported: list[Reported] = []
        self.in_columns: dict[int, str] = {}
        """The services whose heartbeats travel in columns, by incarnation."""

    def __len__(self) -> int:
        return len(self._beats) + len(self.in_columns)

    @property
    def full(self) -> bool:
        """Whether the message is full; the next heartbeat must then travel in another message."""
        return self._size >= BATCH_BYTES or len(self) >= BATCH_BEATS

    def add(self, service_id: str, incarnation: int, reported: Reported) -> None:
        """Add a heartbeat. With `incarnation` 0, the heartbeat counts for the current incarnation of the service,
        whatever its number is."""
        fits = reported.message is None and reported.queue_depth != UNSET_DEPTH
        if self._columns and fits and incarnation and incarnation not in self.in_columns:
            self.in_columns[incarnation] = service_id
            self._reported.append(reported)
        else:
            beat = _beat(service_id, self._sequence, reported)
            self._beats.append(beat)
            self._size += beat.ByteSize()

    def message(self) -> heartbeat_pb2.HeartbeatRequest:
        """Return all heartbeats as one message that requests an acknowledgement."""
        beats = heartbeat_pb2.Beats(
            beats=self._beats,
            ack_requested=True,
            relayed=True,
            replaces_figures=True,
            on_behalf_of=self._on_behalf_of,
        )
        if self.in_columns:
            columns, reported = beats.columns, self._reported
            columns.sequence = self._sequence
            columns.incarnations.extend(self.in_columns)
            # A column in which nothing is set is left out: that reads the same.
            statuses = [words.STATUSES.number(each.status or "") for each in reported]
            if any(statuses):
                columns.status.extend(statuses)
            for column, figures in (
                (columns.p95_ms, [each.p95_ms for each in reported]),
                (columns.load, [each.load for each in reported]),
            ):
                if any(figure is not None for figure in figures):
                    column.extend(nan if figure is None else figure for figure in figures)
            depths = [each.queue_depth for each in reported]
            if any(depth is not None for depth in depths):
                columns.queue_depth.extend(UNSET_DEPTH if depth is None else depth for depth in depths)
        return heartbeat_pb2.HeartbeatRequest(beats=beats)


def _beat(service_id: str, sequence: int, reported: Reported) -> heartbeat_pb2.Beat:
    return heartbeat_pb2.Beat(
        service_id=service_id,
        sequence=sequence,
        status=words.STATUSES.number(reported.status or ""),
        p95_ms=reported.p95_ms,
        queue_depth=reported.queue_depth,
        load=reported.load,
        message=reported.message,
    )
