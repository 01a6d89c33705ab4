"""Lists every file that the programs keep below a data directory, and how a backup copies each. Pure.

docs/operations.md has the same table for people; a test compares both with the files that a running system writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import PurePath


class Order(IntEnum):
    """When a backup copies a file. A live backup copies files one after the other, so data that one program passes to
    another must be in the copy of the giving program, or in that of the receiving one.

    The gateway's position is copied first: lines that are written to the alert files afterwards are written again, and
    not left out. The registry is copied before the queues of the operator sinks: a notice that the registry no longer
    holds was in a queue before, so it is in the copy of the queue, or was delivered.
    """

    POSITION = 1
    ALERT_FILES = 2
    REGISTRY = 3
    QUEUES = 4
    POLICY = 5
    ACCESS = 6


class Kind(IntEnum):
    """How a backup copies a file."""

    DATABASE = 1
    """A file that is copied by SQLite's online backup, as of one moment, while its program runs."""
    WHOLE = 2
    """A file that its program replaces as a whole."""
    LINES = 3
    """A file to which its program appends lines; it is copied up to the last complete line."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of state: its name (a pattern), and how and when it is copied."""

    name: str
    kind: Kind
    order: Order
    schema: int = 0
    """The version of the database that this installation knows."""


REGISTRY = DataFile("registry.db", Kind.DATABASE, Order.REGISTRY, schema=5)
STATE = (
    DataFile("heartbeat_alerts.position", Kind.WHOLE, Order.POSITION),
    DataFile("heartbeat_alerts_*.jsonl", Kind.LINES, Order.ALERT_FILES),
    REGISTRY,
    DataFile("operator-queue.db", Kind.DATABASE, Order.QUEUES, schema=1),
    DataFile("policy.json", Kind.WHOLE, Order.POLICY),
    DataFile("access.db", Kind.DATABASE, Order.ACCESS, schema=2),
)
"""What must be kept. Everything else can be made again, or is a copy that was set aside."""

TOKENS = "*.token"
"""Credentials of the programs, and of an administrator. They are made again, and never copied."""

LOCKS = ("tron-up.lock", "registry.lock", "operator-queue.lock")
"""Held by the program that uses the folder, for as long as it lives."""

PASSING = ("*-wal", "*-shm", "*-journal")
"""Part of the database beside them; of no use without it, and never copied."""

RESTORED = "registry.restored"
"""Put beside a restored registry.db: at its next start the registry begins a new history; see its store."""


def state_file(path: PurePath) -> DataFile | None:
    """Return the kind of a file of state, by its name; None for any other file."""
    return next((each for each in STATE if fnmatchcase(path.name, each.name)), None)


def known(path: PurePath) -> bool:
    """Return whether one of the programs keeps a file with this name."""
    passing = any(fnmatchcase(path.name, pattern) for pattern in PASSING)
    secret = fnmatchcase(path.name, TOKENS)
    return passing or secret or path.name in (*LOCKS, RESTORED) or state_file(path) is not None
