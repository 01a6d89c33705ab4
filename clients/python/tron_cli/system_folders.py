"""The directories of `tron up`: its data, the lock that makes it the only one that uses them, and its ready files."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grid_hosting.start import StartError, absolute, claim_ready_file, prepare_data_dir, reason
from tron_cli import messages
from tron_cli.output import fail


def prepare_folders(data_dir: Path, ready_file: Path | None, *, private: bool) -> None:
    """Create the data directories; end the command with one line that names the path if one of them cannot be used."""
    try:
        prepare_data_dir(data_dir, private=private)
        for folder in ("registry", "monitor", "gateway"):
            prepare_data_dir(data_dir / folder)
        claim_ready_file(ready_file)
    except StartError as error:
        fail(str(error))


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder for the ready files of the programs, and remove it afterwards."""
    try:
        scratch = tempfile.TemporaryDirectory(prefix="tron-up-")
    except OSError as error:
        fail(messages.no_temporary_folder(reason(error)))
    with scratch as name:
        yield Path(name)


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Lock the data directory for this process. The kernel releases the lock however the process ends."""
    path = data_dir / "tron-up.lock"
    try:
        lock = path.open("a")
    except OSError as error:
        fail(f"{absolute(path)}: {reason(error)}")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            fail(messages.data_dir_in_use(absolute(data_dir)))
        yield
