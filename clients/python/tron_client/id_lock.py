"""Decides which process of this machine holds a service id, by two kernel locks on files in a directory of the user.

One process at a time holds the id lock. All processes that wait for the id share the presence lock, so that a holder
that leaves knows whether another process will take over. The kernel releases both locks when a process dies, even if it
is killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class LockUnavailable(OSError):
    """No lock is available on this machine; the text explains why."""


def runtime_directory() -> Path:
    """Return the directory for the locks of this user, and create it if necessary.

    Raises LockUnavailable if another user could write to the directory: that user could then place harmful files there.
    """
    if fcntl is None:
        raise LockUnavailable("this system has no file locks (flock)")
    path = Path(tempfile.gettempdir()) / f"tron-{os.geteuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        raise LockUnavailable(f"{path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise LockUnavailable(f"{path} is not a directory")
    if found.st_uid != os.geteuid():
        raise LockUnavailable(f"{path} belongs to another user")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise LockUnavailable(f"{path} can be opened by others; its mode must be 0700")
    return path


class IdLock:
    """The locks with which one process claims a service id at one registry. Not thread-safe.

    A forked child closes inherited locks without unlocking them, because they belong to the parent process.
    """

    def __init__(self, registry: str, service_id: str) -> None:
        """Open the lock files. Raises LockUnavailable if no directory is available."""
        self._directory = runtime_directory()
        self._name = hashlib.sha256(f"{registry}\0{service_id}".encode()).hexdigest()[:32]
        self._id: int | None = None
        self._presence: int | None = None
        self._arrived = self._now()
        self._owner = os.getpid()

    @property
    def held(self) -> bool:
        """Whether this process holds the service id."""
        return self._id is not None

    def acquire(self) -> bool:
        """Take the service id if no other process holds it; return whether this process holds it now. Raises
        LockUnavailable."""
        if self._id is None:
            self._id = self._take("id", exclusive=True)
        return self._id is not None

    def release(self) -> None:
        """Release the service id, so that another process can take it."""
        self._unlock(self._id)
        self._id = None

    def wait_in_line(self) -> None:
        """Register this process as waiting for the service id. Raises LockUnavailable."""
        if self._presence is None:
            self._presence = self._take("presence", exclusive=False)

    def leave_line(self) -> None:
        """Register that this process no longer waits for the service id."""
        self._unlock(self._presence)
        self._presence = None

    def someone_waits(self) -> bool:
        """Return whether another process waits for the service id. Raises LockUnavailable."""
        alone = self._take("presence", exclusive=True)
        self._unlock(alone)
        return alone is None

    def say_superseded(self, incarnation: int) -> None:
        """Record that a process without these locks, for example on another machine, took over the service id;
        `incarnation` is the incarnation of that process. The processes that wait for the service id then count as
        superseded too."""
        if self._id is not None:
            told = {"superseded_at": self._now(), "incarnation": incarnation}
            with contextlib.suppress(OSError):
                os.ftruncate(self._id, 0)
                os.pwrite(self._id, json.dumps(told).encode(), 0)

    def superseded_by(self) -> int | None:
        """Return the incarnation that superseded the holder of the service id while this process waited; None if no
        holder was superseded."""
        if self._id is None:
            return None
        try:
            told: dict[str, Any] = json.loads(os.pread(self._id, 1000, 0) or b"{}")
            return int(told["incarnation"]) if float(told["superseded_at"]) >= self._arrived else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def touch(self) -> None:
        """Update the times of the lock files, so that programs that clean temporary directories keep them."""
        for descriptor in (self._id, self._presence):
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    os.utime(descriptor)

    def close(self) -> None:
        """Release the service id and stop waiting; in a forked child, leave the locks to the parent process."""
        self.release()
        self.leave_line()

    def _unlock(self, descriptor: int | None) -> None:
        # A child that was forked just now may still have the descriptor: closing ours would not release the lock.
        if descriptor is not None and os.getpid() == self._owner:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        _close(descriptor)

    def _now(self) -> float:
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))

    def _take(self, kind: str, *, exclusive: bool) -> int | None:
        """Return the descriptor of the locked file; None if another process holds the lock."""
        path = self._directory / f"{self._name}.{kind}"
        while True:
            descriptor: int | None = None
            try:
                runtime_directory()
                descriptor = os.open(path, _OPEN, 0o600)
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                    raise LockUnavailable(f"{path} is not a regular file that belongs to this user")
                fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                now = path.lstat()
            except BlockingIOError:
                _close(descriptor)
                return None
            except FileNotFoundError:  # removed just now, as cleaners of temporary files do
                _close(descriptor)
                continue
            except OSError as error:
                _close(descriptor)
                if isinstance(error, LockUnavailable):
                    raise
                raise LockUnavailable(f"{path}: {error.strerror}") from error
            if (now.st_dev, now.st_ino) == (found.st_dev, found.st_ino):
                os.utime(descriptor)
                return descriptor
            _close(descriptor)  # the file was replaced: lock the one that others will find


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
