"""Stores the files of the private CA: each as a whole, keys for their owner only, and none overwritten by accident."""

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
    """Return the paths of the files with this name; that of the CA is `ca`."""
    return Pair(folder / f"{name}.pem", folder / f"{name}-key.pem")


def make_folder(folder: Path) -> None:
    """Create the directory of a CA, which only its owner may enter. Raises FileExistsError if it is there and has other
    content than a CA, because its mode is changed; OSError if it cannot be created."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        if any(folder.iterdir()) and not pair_in(folder, "ca").key.exists():
            raise FileExistsError(f"{folder} has other files in it; name a new directory")
        folder.chmod(0o700)


def require_private(path: Path) -> None:
    """Raise PermissionError if others than its owner can read a key."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise PermissionError(f"{path} is readable by others (mode {mode:04o}); run: chmod 600 {path}")


def write_pair(pair: Pair, cert: bytes, key: bytes, *, force: bool) -> None:
    """Write a certificate and its key. Raises FileExistsError if one of them is there, unless `force`."""
    if not force:
        for path in (pair.cert, pair.key):
            if path.exists() or path.is_symlink():
                raise FileExistsError(f"{path} exists; --force replaces it")
    write_whole(pair.key, key, durable=True, mode=KEY_MODE)
    write_certificate(pair.cert, cert)


def write_certificate(path: Path, cert: bytes) -> None:
    """Replace a certificate: a reader finds the former content or the new one."""
    write_whole(path, cert, durable=True, mode=CERTIFICATE_MODE)
