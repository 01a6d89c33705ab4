"""A list of all files that the programs keep below a data directory, and how a backup copies each of them. Pure.

docs/operations.md has the same table for people; a test compares both with the files that a running system writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import PurePath


class Order(IntEnum):
    """The order in which a backup copies files. A live backup copies files one after the other. Meanwhile, one program
    may pass data from its file to the file of another program. The order ensures that such data is in at least one of
    the two copies.

    The position up to which the gateway has written its alert files is copied before these files. After a restore, the
    gateway writes the lines after this position again, and no line is missing. The registry is copied before the queues
    of the operator sinks: a notice that the registry no longer had when it was copied had been put into a queue before,
    so the notice is in the copy of the queue, or was delivered.
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
    """An SQLite database. SQLite's online backup copies its state at one moment while its program runs."""
    WHOLE = 2
    """A file that its program replaces as a whole."""
    LINES = 3
    """A file to which its program appends lines; it is copied up to the last complete line."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """One kind of state file: its name (a pattern), and how and when it is copied."""

    name: str
    kind: Kind
    order: Order
    schema: int = 0
    """The newest schema version of the database that this installation supports; 0 for other files."""


REGISTRY = DataFile("registry.db", Kind.DATABASE, Order.REGISTRY, schema=5)
STATE = (
    DataFile("heartbeat_alerts.position", Kind.WHOLE, Order.POSITION),
    DataFile("heartbeat_alerts_*.jsonl", Kind.LINES, Order.ALERT_FILES),
    REGISTRY,
    DataFile("operator-queue.db", Kind.DATABASE, Order.QUEUES, schema=1),
    DataFile("policy.json", Kind.WHOLE, Order.POLICY),
    DataFile("access.db", Kind.DATABASE, Order.ACCESS, schema=2),
)
"""The files that a backup must have. All other files can be created again, or are copies that were set aside."""

TOKENS = "*.token"
"""Files with the tokens of the programs and of an administrator. They are created again, and never copied."""

LOCKS = ("tron-up.lock", "registry.lock", "operator-queue.lock")
"""Lock files. The program that uses the folder holds the lock as long as it runs."""

PASSING = ("*-wal", "*-shm", "*-journal")
"""Temporary files of the SQLite database beside them. They are useless without it, and never copied."""

RESTORED = "registry.restored"
"""A file that a restore puts beside registry.db. At its next start, the registry begins a new epoch; see its store."""


def state_file(path: PurePath) -> DataFile | None:
    """Return the entry of STATE for a file with this name; None if it is not a state file."""
    return next((each for each in STATE if fnmatchcase(path.name, each.name)), None)


def known(path: PurePath) -> bool:
    """Return whether one of the programs keeps a file with this name."""
    passing = any(fnmatchcase(path.name, pattern) for pattern in PASSING)
    secret = fnmatchcase(path.name, TOKENS)
    return passing or secret or path.name in (*LOCKS, RESTORED) or state_file(path) is not None
