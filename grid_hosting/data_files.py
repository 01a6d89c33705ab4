"""Every file that the programs keep below a data directory, and what a backup does with each. Pure.

docs/operations.md has the same table for people; a test compares both with what a running system writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import PurePath


class Order(IntEnum):
    """When a file is copied. A live backup copies files one after the other, so what one program hands to another must
    be found in the copy of the one that gave it, or of the one that took it.

    The gateway's position first: what it wrote to its alert files after that is written again, and not left out. The
    registry before the queues of the operator sinks: what the registry no longer holds for operators was in a queue
    before, so it is in the copy of the queue, or was delivered.
    """

    POSITION = 1
    ALERT_FILES = 2
    REGISTRY = 3
    QUEUES = 4
    POLICY = 5


class Kind(IntEnum):
    """How a file is copied."""

    DATABASE = 1
    """By the online backup of SQLite: one state of it, while its program goes on."""
    WHOLE = 2
    """Its program replaces it as a whole."""
    LINES = 3
    """Its program appends lines: up to the last whole one."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of state: its name (a pattern), how and when it is copied."""

    name: str
    kind: Kind
    order: Order
    schema: int = 0
    """The version of the database that this installation knows."""


REGISTRY = DataFile("registry.db", Kind.DATABASE, Order.REGISTRY, schema=3)
STATE = (
    DataFile("heartbeat_alerts.position", Kind.WHOLE, Order.POSITION),
    DataFile("heartbeat_alerts_*.jsonl", Kind.LINES, Order.ALERT_FILES),
    REGISTRY,
    DataFile("operator-queue.db", Kind.DATABASE, Order.QUEUES, schema=1),
    DataFile("policy.json", Kind.WHOLE, Order.POLICY),
)
"""What must be kept. Everything else can be made again, or is a copy that was set aside."""

LOCKS = ("tron-up.lock", "registry.lock", "operator-queue.lock")
"""Held by the program that uses the folder, for as long as it lives."""

PASSING = ("*-wal", "*-shm", "*-journal")
"""Part of the database beside them; of no use without it, and never copied."""

RESTORED = "registry.restored"
"""Put beside a restored registry.db: at its next start the registry begins a new history; see its store."""


def state_file(path: PurePath) -> DataFile | None:
    """What kind of state a file is, by its name; None if it is none."""
    return next((each for each in STATE if fnmatchcase(path.name, each.name)), None)


def known(path: PurePath) -> bool:
    """Whether some program of ours keeps such a file."""
    passing = any(fnmatchcase(path.name, pattern) for pattern in PASSING)
    return passing or path.name in (*LOCKS, RESTORED) or state_file(path) is not None
