"""What a backup says of itself: which files it has, how large each is, and its checksum. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from grid_hosting.data_files import Kind, state_file

FILE = "manifest.json"
FORMAT = 1


class ManifestError(Exception):
    """This is no manifest, or one that this installation does not understand. The text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a backup: its path below the data directory, its size in bytes, and its checksum."""

    path: str
    size: int
    sha256: str
    schema: int = 0
    """The version of a database; 0 for other files."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of a backup."""

    made_at: str
    """When it was begun, RFC 3339. What was acknowledged before that is in it."""
    version: str
    entries: tuple[Entry, ...]

    def to_json(self) -> str:
        """The text of the file."""
        files = [asdict(each) for each in self.entries]
        document = {"format": FORMAT, "made_at": self.made_at, "version": self.version, "files": files}
        return json.dumps(document, indent=2) + "\n"


def read(text: str) -> Manifest:
    """The inverse of `to_json`. Raises ManifestError, also for paths that lead elsewhere and databases of a later
    version."""
    try:
        document = json.loads(text)
        number = document["format"]
        if number != FORMAT:
            raise ManifestError(f"is of format {number!r}; this installation knows {FORMAT}")
        entries = tuple(_entry(each) for each in document["files"])
        return Manifest(str(document["made_at"]), str(document["version"]), entries)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError("is damaged: it is not the manifest of a backup") from error


def _entry(raw: dict[str, Any]) -> Entry:
    entry = Entry(str(raw["path"]), int(raw["size"]), str(raw["sha256"]), int(raw["schema"]))
    path = PurePosixPath(entry.path)
    known = state_file(path)
    if path.is_absolute() or ".." in path.parts or known is None:
        raise ManifestError(f"names {entry.path!r}, which is no file of a data directory")
    if known.kind is Kind.DATABASE and not 1 <= entry.schema <= known.schema:
        raise ManifestError(f"{entry.path} has schema {entry.schema}; this installation knows {known.schema}")
    return entry
