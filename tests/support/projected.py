"""Replaces files as Kubernetes does with those that it projects into a pod."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree


def project(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace all files of a folder at once. Each is a link to `..data/NAME`, and never changes; `..data` is a link to
    the folder of the newest files, which one rename replaces. Then the former folder is removed."""
    data = folder / "..data"
    before = data.resolve() if data.exists() else None
    newest = folder / f"..{len(list(folder.iterdir()))}-{0 if before is None else before.name}"
    newest.mkdir()
    for name, content in files.items():
        (newest / name).touch(mode=0o600)
        (newest / name).write_bytes(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data", name))
    renamed = folder / "..data_tmp"
    renamed.symlink_to(newest.name)
    renamed.replace(data)
    if before is not None:
        rmtree(before)
