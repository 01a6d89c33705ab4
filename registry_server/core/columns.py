"""Heartbeats in columns: one column with the incarnations, and one more for each figure that any of the heartbeats
reports. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any

from grid_model.errors import FieldError
from grid_model.service import ServiceStatus

from registry_server.core.record import Record
from registry_server.core.service import Report
from registry_server.core.validation import check_report

PATH = "beats.columns"
"""The path of the field that contains the columns, for error messages."""

UNSET_STATUS = 0
UNSET_DEPTH = -(2**63)
UNSET_ACTIVITY = 2**64 - 1

_FIGURES = (
    ("status", "status", UNSET_STATUS),
    ("p95_ms", "p95_ms", None),
    ("queue_depth", "queue_depth", UNSET_DEPTH),
    ("load", "load", None),
    ("progress", "progress", None),
    ("activity", "activity", UNSET_ACTIVITY),
    ("loop_lag_seconds", "loop_lag", None),
)
"""For each column: its name, the attribute of Report, and the value that means unset. In columns of floats, NaN means
unset."""

_COLUMNS = {f"{PATH}.loop_lag": f"{PATH}.loop_lag_seconds"}
"""The path of the column, for a figure whose column has a different name."""

_STATUSES: dict[int | None, ServiceStatus] = {each.value: each for each in ServiceStatus}

_REPLACED = ("p95_ms", "queue_depth", "load")
"""Figures that a heartbeat without them clears, if its message has `replaces_figures`."""


@dataclass(slots=True)
class Columns:
    """The columns of one message, as they arrived. The class is not frozen, because one instance is created for each
    message."""

    incarnations: Sequence[int]
    sequence: int = 0
    figures: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The columns that are not empty, by name. Each must be as long as `incarnations`."""
    refused: Collection[str] = ()
    """The names of columns that were refused before, because their length is wrong; they are ignored."""

    @property
    def wrong(self) -> list[FieldError]:
        """The errors of the columns whose length is not that of `incarnations`."""
        length = len(self.incarnations)
        return [
            _wrong_length(name, column, length)
            for name, _, _ in _FIGURES
            if (column := self.figures.get(name, ())) and len(column) != length
        ]

    def parts(self, size: int) -> Iterator[Columns]:
        """Yield the same columns in parts of at most `size` heartbeats, without the columns whose length is wrong."""
        length = len(self.incarnations)
        right = {name: column for name, column in self.figures.items() if len(column) == length}
        refused = self.figures.keys() - right.keys()
        for first in range(0, length, size):
            part = slice(first, first + size)
            figures = {name: column[part] for name, column in right.items()}
            yield Columns(self.incarnations[part], self.sequence, figures, refused)


class Changes:
    """Finds the figures in the columns of one message that differ from what the same services reported last.

    `records` contains one element for each heartbeat: the record of its service, or None for a heartbeat that is
    ignored. `wrong` lists the errors of the columns whose length is not that of `incarnations`; these columns are
    ignored. `replaces_figures` has the same meaning as in `Beats`.
    """

    def __init__(self, columns: Columns, records: Sequence[Record | None], *, replaces_figures: bool) -> None:
        self.wrong: list[FieldError] = []
        self._records = records
        self._replaces_figures = replaces_figures
        self._figures: dict[int, dict[str, Any]] = {}
        for name, figure, unset in _FIGURES:
            column = columns.figures.get(name, ())
            cleared = replaces_figures and figure in _REPLACED
            if column and len(column) == len(records):
                self._compare(figure, column, unset, cleared=cleared)
            elif column:
                self.wrong.append(_wrong_length(name, column, len(records)))
            elif cleared and name not in columns.refused:
                self._compare(figure, repeat(None, len(records)), unset, cleared=True)

    def _compare(self, figure: str, column: Any, unset: Any, *, cleared: bool) -> None:
        for position, (record, number) in enumerate(zip(self._records, column, strict=True)):
            if record is None:
                continue
            if number is None or number == unset or number != number:  # the last is so of NaN alone
                if not cleared:
                    continue
                number = None
            if number != getattr(record.report, figure):
                self._figures.setdefault(position, {})[figure] = number

    def reports(self) -> Iterator[tuple[Record, Report, list[FieldError]]]:
        """For each service with a changed figure, yield its record, its new report, and the errors in that report. A
        report with errors must not be stored."""
        for position, figures in self._figures.items():
            record = self._records[position]
            assert record is not None
            status = figures.get("status")
            if status in _STATUSES:
                figures["status"] = _STATUSES[status]
            elif status is not None:
                why = f"{status} is not known; use one of {', '.join(each.name for each in ServiceStatus)}"
                yield record, record.report, [FieldError(f"{PATH}.status", why)]
                continue
            report = replace(record.report, **figures)
            errors = check_report(report, PATH, as_sent=self._replaces_figures)
            named = [FieldError(_COLUMNS.get(each.field, each.field), each.description) for each in errors]
            yield record, report, named


def _wrong_length(name: str, column: Sequence[Any], length: int) -> FieldError:
    why = f"has {len(column)} elements; it must be empty or have {length}, as many as incarnations"
    return FieldError(f"{PATH}.{name}", why)
