"""The manifest of a backup: its files, their sizes, and their checksums. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from grid_hosting.data_files import Kind, state_file

FILE = "manifest.json"
FORMAT = 1


class ManifestError(Exception):
    """The text is not a manifest, or this installation does not support it; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a backup: its path below the data directory, its size in bytes, and its checksum."""

    path: str
    size: int
    sha256: str
    schema: int = 0
    """The schema version of a database; 0 for other files."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of a whole backup."""

    made_at: str
    """When the backup was begun, as RFC 3339 text. The backup contains all data that was acknowledged before this
    time."""
    version: str
    entries: tuple[Entry, ...]

    def to_json(self) -> str:
        """Return the text of the manifest file."""
        files = [asdict(each) for each in self.entries]
        document = {"format": FORMAT, "made_at": self.made_at, "version": self.version, "files": files}
        return json.dumps(document, indent=2) + "\n"


def read(text: str) -> Manifest:
    """Return the manifest in a text that `to_json` created. Raises ManifestError, also if the manifest lists a path
    that is not a file of a data directory, or a database with a newer schema."""
    try:
        document = json.loads(text)
        number = document["format"]
        if number != FORMAT:
            raise ManifestError(f"has format {number!r}; this installation supports format {FORMAT}")
        entries = tuple(_entry(each) for each in document["files"])
        return Manifest(str(document["made_at"]), str(document["version"]), entries)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ManifestError("is not a valid manifest: it is damaged, or it does not belong to a backup") from error


def _entry(raw: dict[str, Any]) -> Entry:
    entry = Entry(str(raw["path"]), int(raw["size"]), str(raw["sha256"]), int(raw["schema"]))
    path = PurePosixPath(entry.path)
    known = state_file(path)
    if path.is_absolute() or ".." in path.parts or known is None:
        raise ManifestError(f"lists {entry.path!r}, which is not a file of a data directory")
    if known.kind is Kind.DATABASE and not 1 <= entry.schema <= known.schema:
        raise ManifestError(
            f"{entry.path} has schema {entry.schema}; this installation supports schemas 1 to {known.schema}"
        )
    return entry
