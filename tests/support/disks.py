"""Disks that are full, or refuse every write: a small file system of one's own, or a limit that the kernel keeps."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PRIVATE = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")


def small_disk(folder: Path, megabytes: int) -> tuple[str, ...]:
    """The command that runs another one, in place of itself, with a file system of this size at `folder`.

    Nobody else sees it, and it ends with the last process in it; from outside it is below `/proc/PID/root`.
    """
    script = f'mount -t tmpfs -o size={megabytes}m tmpfs "$0" && exec "$@"'
    return (*_PRIVATE, "sh", "-c", script, str(folder))


def read_only(folder: Path) -> tuple[str, ...]:
    """The command that runs another one, in place of itself, to which `folder` is read-only."""
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    return (*_PRIVATE, "sh", "-c", script, str(folder))


def can_mount(folder: Path) -> bool:
    """Whether this machine lets us have file systems of our own."""
    with suppress(FileNotFoundError):
        return subprocess.run([*small_disk(folder, 1), "true"], capture_output=True, check=False).returncode == 0
    return False


def fill(folder: Path) -> None:
    """Take all the room that is left below a folder."""
    with suppress(OSError), (folder / "ballast").open("ab", buffering=0) as ballast:
        for piece in (b"x" * 65536, b"x" * 512, b"x"):
            with suppress(OSError):
                while ballast.write(piece):
                    pass


def make_room(folder: Path) -> None:
    """Give it back."""
    (folder / "ballast").unlink()


@contextmanager
def no_writes(pids: Iterable[int]) -> Iterator[None]:
    """No file may be written by these processes, nor by those that they start, until the block ends: EFBIG.

    Those that they started in the block keep the limit.
    """
    before: dict[int, tuple[int, int]] = {}
    for pid in pids:
        before[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[pid][1]))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
