"""Replaces a small file as a whole: a reader finds the old text or the new text, never a part."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any


def write_whole(path: Path, content: str | bytes, *, durable: bool = False, mode: int | None = None) -> None:
    """Write a file, and create its folder if it is missing. Raises OSError; the file is then unchanged.

    `durable`: when this returns, the content survives a power cut. `mode`: the permissions of the file; until they are
    set, only its owner can use the file. If `mode` is None, the file has the permissions of any new file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
        file: IO[Any]
        with os.fdopen(number, "w" if isinstance(content, str) else "wb") as file:
            file.write(content)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
