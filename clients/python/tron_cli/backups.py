"""The commands `tron backup`, which copies all state of a running system, and `tron restore`, which checks and restores
a copy."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from grid_hosting import backup as backups
from grid_hosting.backup import BackupError
from grid_hosting.manifest import Manifest
from grid_hosting.start import absolute
from tron_cli import messages
from tron_cli.connection import JsonOption
from tron_cli.output import fail, out, print_json

DataDirOption = Annotated[Path, typer.Option("--data-dir", metavar="DIR", help="The data directory of `tron up`.")]
DATA_DIR = Path("tron-data")


def backup(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The directory for the backup. It must be empty or must not exist yet."),
    ],
    data_dir: DataDirOption = DATA_DIR,
    as_json: JsonOption = False,
) -> None:
    """Back up all state of a running system.

    The backup contains every change that the system had acknowledged before the command began.
    """
    try:
        made = backups.back_up(data_dir, folder, _version())
    except BackupError as error:
        fail(str(error))
    if as_json:
        print_json({"backup": absolute(folder), **_document(made)})
    else:
        out.print(messages.backed_up(escape(absolute(folder)), _summary(made)), soft_wrap=True)


def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A directory that `tron backup` created.")],
    data_dir: DataDirOption = DATA_DIR,
    as_json: JsonOption = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Replace a data directory that is not empty; its previous content is moved to a directory beside it.",
        ),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Check the backup without restoring it.")] = False,
) -> None:
    """Check a backup, then restore it to a data directory that no program is using."""
    try:
        if check:
            made, kept = backups.check(folder), None
        else:
            restored = backups.restore(folder, data_dir, replace=force)
            made, kept = restored.manifest, restored.kept
    except BackupError as error:
        fail(str(error))
    if as_json:
        place = None if check else absolute(data_dir)
        print_json({"data_dir": place, "kept": None if kept is None else str(kept), **_document(made)})
        return
    if check:
        out.print(messages.backup_complete(escape(made.made_at), _summary(made)), soft_wrap=True)
        return
    out.print(messages.restored(escape(made.made_at), escape(absolute(data_dir)), _summary(made)),
              soft_wrap=True)  # fmt: skip
    if kept is not None:
        out.print(messages.previous_content(escape(str(kept))), soft_wrap=True)


def _summary(made: Manifest) -> str:
    size = sum(each.size for each in made.entries)
    shown = f"{size / (1 << 20):.1f} MB" if size >= 1 << 20 else f"{size / 1024:.0f} KB"
    return f"{len(made.entries)} file{'s' if len(made.entries) != 1 else ''}, {shown}"


def _document(made: Manifest) -> dict[str, object]:
    files = [{"path": each.path, "size": each.size, "sha256": each.sha256} for each in made.entries]
    return {"made_at": made.made_at, "version": made.version, "files": files}


def _version() -> str:
    try:
        return version("tron-grid")
    except PackageNotFoundError:
        return "unknown"
