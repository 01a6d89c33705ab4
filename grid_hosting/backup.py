"""Copies all state below a data directory while its programs run, and restores such a copy.

A backup is a folder that appears complete or not at all, with a manifest of sizes and checksums. Every error is a
BackupError with one line that names the path.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

from grid_hosting import manifest
from grid_hosting.data_files import LOCKS, REGISTRY, RESTORED, DataFile, Kind, known, state_file
from grid_hosting.manifest import Entry, Manifest, ManifestError
from grid_hosting.start import absolute, reason
from grid_hosting.whole_file import write_whole

DEEPEST = 4
"""How many levels of folders below the data directory are searched for state."""

BUSY = 10.0
"""Seconds to wait for a database that is locked."""


class BackupError(Exception):
    """A backup or restore failed. The message is one line for people, with the path."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore: the manifest, and the folder in which the previous content is kept (None if there was
    none)."""

    manifest: Manifest
    kept: Path | None


def back_up(data_dir: Path, target: Path, version: str) -> Manifest:
    """Copy all state below `data_dir` to `target`, which must not exist yet, or be empty.

    The copy contains all data that was acknowledged before the call. Raises BackupError; `target` is then unchanged.
    """
    data_dir, target = Path(absolute(data_dir)), Path(absolute(target))
    if not data_dir.is_dir():
        raise BackupError(f"{data_dir}: there is no such directory")
    if _is_below(target, data_dir):
        raise BackupError(f"{absolute(target)}: is inside the data directory; a backup must be elsewhere")
    made_at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    with _draft(target) as draft:
        entries: list[Entry] = []
        found = sorted(_state_below(data_dir), key=lambda each: (each[1].order, each[0]))
        if not found:
            raise BackupError(f"{data_dir}: contains no state of TRON; is it a data directory?")
        for path, file in found:
            copy = draft / path
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (data_dir / path).exists():
                continue  # it was deleted meanwhile, as old alert files are
            schema = _copy(data_dir / path, copy, file)
            entries.append(Entry(path.as_posix(), copy.stat().st_size, _checksum(copy), schema))
        made = Manifest(made_at, version, tuple(entries))
        write_whole(draft / manifest.FILE, made.to_json(), durable=True)
    return made


def restore(source: Path, data_dir: Path, *, replace: bool) -> Restored:
    """Check a backup, and replace the content of `data_dir` with it. If `data_dir` is not empty, `replace` must be
    true; the previous content is then kept in a folder beside it.

    Raises BackupError, also if a program is using `data_dir`; the directory is then unchanged.
    """
    source, data_dir = Path(absolute(source)), Path(absolute(data_dir))
    made = check(source)
    with ExitStack() as stack:
        held = [path for path in _files_below(data_dir) if path.name in LOCKS]
        for path in held:
            _hold(stack, data_dir / path)
        occupied = data_dir.is_dir() and any(path.name not in LOCKS for path in _files_below(data_dir, everything=True))
        if occupied and not replace:
            raise BackupError(
                f"{absolute(data_dir)}: is not empty; use --force to replace it (its content is kept beside it)"
            )
        if data_dir.exists() and not data_dir.is_dir():
            raise BackupError(f"{data_dir}: is a file, not a directory")
        kept = _name_of_old(data_dir) if occupied else None
        with _draft(data_dir, gives_way=lambda: _make_way(data_dir, kept)) as draft:
            for entry in made.entries:
                copy = draft / entry.path
                copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _copy_bytes(source / entry.path, copy, entry.size)
                if PurePosixPath(entry.path).name == REGISTRY.name:
                    write_whole(copy.parent / RESTORED, f"{made.made_at}\n", durable=True)
    return Restored(made, kept)


def _name_of_old(data_dir: Path) -> Path:
    return data_dir.with_name(f"{data_dir.name}.before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")


def _make_way(data_dir: Path, kept: Path | None) -> Callable[[], None]:
    """Rename a folder so that another one can take its name. Return the function that undoes this. Raises OSError."""
    if kept is not None:
        data_dir.rename(kept)
        return lambda: _undo(kept, data_dir)
    if data_dir.is_dir():
        shutil.rmtree(data_dir)  # nothing but locks, which we hold
    return lambda: None


def _undo(kept: Path, data_dir: Path) -> None:
    kept.rename(data_dir)


def check(source: Path) -> Manifest:
    """Compare all files of a backup with its manifest, and return the manifest. Raises BackupError for the first file
    that differs."""
    path = source / manifest.FILE
    try:
        made = manifest.read(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BackupError(f"{absolute(source)}: is not a backup: {manifest.FILE} is missing") from None
    except UnicodeDecodeError:
        raise BackupError(f"{absolute(path)}: is damaged: it is not text") from None
    except OSError as error:
        raise BackupError(f"{absolute(path)}: {reason(error)}") from error
    except ManifestError as error:
        raise BackupError(f"{absolute(path)}: {error}") from error
    for entry in made.entries:
        copy = source / entry.path
        with _named(copy):
            if not copy.is_file():
                raise BackupError(f"{absolute(copy)}: is missing, but listed in the manifest")
            size = copy.stat().st_size
            if size != entry.size:
                raise BackupError(f"{absolute(copy)}: is damaged: it has {size} bytes instead of {entry.size}")
            if _checksum(copy) != entry.sha256:
                raise BackupError(f"{absolute(copy)}: is damaged: its checksum does not match the manifest")
        if entry.schema:
            # Of a file that is as it was made, so this is about the backup that was made of a damaged database.
            _check_database(copy)
    return made


def _state_below(data_dir: Path) -> Iterator[tuple[Path, DataFile]]:
    for path in _files_below(data_dir):
        file = state_file(path)
        if file is not None:
            yield path, file


def _files_below(folder: Path, *, everything: bool = False) -> Iterator[Path]:
    """Return the files that programs keep there (or all files), by their path below the folder. Links are not
    followed."""
    for root, folders, names in os.walk(folder):
        here = Path(root).relative_to(folder)
        if len(here.parts) >= DEEPEST:
            folders.clear()
        yield from (here / name for name in names if everything or known(here / name))


def _copy(source: Path, copy: Path, file: DataFile) -> int:
    """Copy one file of state. Return the version of a database, 0 for others. Raises BackupError or OSError."""
    if file.kind is Kind.DATABASE:
        return _copy_database(source, copy)
    content = source.read_bytes()
    if file.kind is Kind.LINES:
        content = content[: content.rfind(b"\n") + 1]
    with copy.open("xb") as out:
        copy.chmod(0o600)
        out.write(content)
        _sync(out)
    return 0


def _copy_database(source: Path, copy: Path) -> int:
    copy.touch(0o600)
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY)) as live,
            closing(sqlite3.connect(copy, isolation_level=None)) as saved,
        ):
            live.backup(saved)  # in one step: one state, and writers continue
            saved.execute("PRAGMA journal_mode=DELETE")  # one file, that needs no other beside it
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise BackupError(f"{absolute(source)}: {error}") from error
    version = _check_database(copy, named=source)
    with copy.open("rb") as file:
        _sync(file)
    return version


def _check_database(path: Path, named: Path | None = None) -> int:
    """Check a database with SQLite, while no program writes to it. Return its version. Raises BackupError."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise BackupError(f"{absolute(named or path)}: is damaged: {verdict}")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            return int(version)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise BackupError(f"{absolute(named or path)}: is damaged: {error}") from error


def _copy_bytes(source: Path, copy: Path, size: int) -> None:
    with source.open("rb") as file, copy.open("xb") as out:
        copy.chmod(0o600)
        shutil.copyfileobj(file, out, 1 << 20)
        _sync(out)
        if out.tell() != size:
            raise BackupError(f"{absolute(source)}: was changed while it was read")


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hold(stack: ExitStack, path: Path) -> None:
    """Hold the lock of a program until the stack ends. Raises BackupError if the program is running."""
    try:
        lock = stack.enter_context(path.open("a"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        program = {"tron-up.lock": "tron up", "registry.lock": "a registry"}.get(path.name, "a program")
        raise BackupError(f"{absolute(path.parent)}: is in use by {program}; stop it first") from None
    except OSError as error:
        raise BackupError(f"{absolute(path)}: {reason(error)}") from error


@contextmanager
def _draft(target: Path, *, gives_way: Callable[[], Callable[[], None]] | None = None) -> Iterator[Path]:
    """Yield a folder beside `target` that finally replaces `target` as a whole; after an error it is removed.

    `target` must not exist, or must be an empty folder, unless it `gives_way` (which is undone after an error). Raises
    BackupError.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    with _named(target):
        if gives_way is None and (target.is_file() or (target.is_dir() and any(target.iterdir()))):
            raise BackupError(f"{target}: is not empty; a backup needs an empty directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir(mode=0o700)
        try:
            yield draft
            for folder, _, _ in os.walk(draft):
                _sync_folder(Path(folder))
            undo = gives_way() if gives_way is not None else lambda: None
            try:
                if target.is_dir():
                    target.rmdir()
                draft.rename(target)
            except BaseException:
                with suppress(OSError):
                    undo()
                raise
            _sync_folder(target.parent)
        except BaseException:
            with suppress(OSError):
                shutil.rmtree(draft)
            raise


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn an error of the system into one line that names the path."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else path
        raise BackupError(f"{absolute(Path(where))}: {reason(error)}") from error


def _is_below(path: Path, folder: Path) -> bool:
    with suppress(OSError):
        return path.resolve().is_relative_to(folder.resolve())
    return False


def _sync(file: IO[bytes]) -> None:
    if file.writable():
        file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
