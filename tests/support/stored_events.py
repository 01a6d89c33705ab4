"""The alerts that a registry has stored, read from its folder after it has ended."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from grid_model.event_types import EVENT_TYPES


def stored_alerts(folder: Path) -> list[tuple[str, str]]:
    """The type of each alert of TRON, and the service that it is about."""
    with closing(sqlite3.connect(folder / "registry.db")) as database:
        found = database.execute("SELECT type, service_id FROM events ORDER BY sequence").fetchall()
    return [(kind, service_id) for kind, service_id in found if kind in EVENT_TYPES]
