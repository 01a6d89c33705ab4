"""Stores the files of the private CA. A file is written as a whole or not at all, only the owner can read a key, and no
file is overwritten by accident."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from grid_hosting.whole_file import write_whole

CERTIFICATE_MODE, KEY_MODE = 0o644, 0o600


@dataclass(frozen=True, slots=True)
class Pair:
    """The paths of a certificate and its key."""

    cert: Path
    key: Path


def pair_in(folder: Path, name: str) -> Pair:
    """Return the paths of the certificate and the key with this name. The name of the CA itself is `ca`."""
    return Pair(folder / f"{name}.pem", folder / f"{name}-key.pem")


def make_folder(folder: Path) -> None:
    """Create the directory of a CA, to which only its owner has access. If the directory exists and is empty or
    contains a CA, take the access of other users away. Raises FileExistsError if other users have access to an existing
    directory that contains other files but no CA, and OSError if the directory cannot be created."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        if any(folder.iterdir()) and not pair_in(folder, "ca").key.exists():
            raise FileExistsError(f"{folder} contains other files; choose a new directory")
        folder.chmod(0o700)


def require_private(path: Path) -> None:
    """Raise PermissionError if users other than the owner have access to the file of a key."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise PermissionError(f"other users have access to {path} (mode {mode:04o}); run: chmod 600 {path}")


def write_pair(pair: Pair, cert: bytes, key: bytes, *, force: bool) -> None:
    """Write a certificate and its key. Raises FileExistsError if one of the files exists, unless `force` is set."""
    if not force:
        for path in (pair.cert, pair.key):
            if path.exists() or path.is_symlink():
                raise FileExistsError(f"{path} already exists; use --force to replace it")
    write_whole(pair.key, key, durable=True, mode=KEY_MODE)
    write_certificate(pair.cert, cert)


def write_certificate(path: Path, cert: bytes) -> None:
    """Write a certificate. An existing file is replaced as a whole: a reader finds either the complete former content
    or the complete new content."""
    write_whole(path, cert, durable=True, mode=CERTIFICATE_MODE)
