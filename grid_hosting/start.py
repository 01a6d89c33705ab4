"""Prepares the files and directories that a program needs before it can serve, and explains which one cannot be
used."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

PROGRAMS = frozenset({"registry", "monitor", "gateway"})
"""The programs that one settings file may have tables for."""

SECURITY = frozenset(
    {
        *("cert", "key", "client_ca", "ca", "insecure_listen", "http_hosts", "trusted_proxies"),
        *("authentication", "trust_domains", "accept_common_name", "legacy_open_to", "http_origins", "jwt"),
        *("max_connection_age", "oidc"),
    }
)
"""The names of the settings in the table `[security]`, which all programs read."""


class StartError(Exception):
    """A program cannot start. The message is one line for people, with the path, the address or the setting."""


def reason(error: OSError) -> str:
    """Return the text of a system error, without its number and its path."""
    return error.strerror or str(error)


def shared_file(path: Path, found: os.stat_result) -> str | None:
    """Return why a file with a secret is refused, and how to fix that; None if only its owner has access to it.

    If the file belongs to root, and the program does not run as root, the group of the file may read it. Kubernetes
    provides secrets in this way to a container that does not run as root.
    """
    of_root = found.st_uid == 0 != os.geteuid()
    if not found.st_mode & (0o037 if of_root else 0o077):
        return None
    shown = f"{stat.S_IMODE(found.st_mode):04o}"
    return f"{absolute(path)} is accessible to users other than its owner (mode {shown}); run chmod 600 {path}"


def prepare_data_dir(path: Path, *, private: bool = False) -> None:
    """Create the data directory if it is missing, and check that this program may write to it. `private`: from now on,
    only its owner may enter it. Raises StartError."""
    shown = absolute(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if private:
            _make_private(path)
        _try_to_write(path)
    except FileExistsError:
        raise StartError(f"data directory {shown}: is a file, not a directory") from None
    except NotADirectoryError:
        raise StartError(f"data directory {shown}: part of the path is a file, not a directory") from None
    except OSError as error:
        raise StartError(f"data directory {shown}: {reason(error)}") from error


def claim_ready_file(path: Path | None) -> None:
    """Remove the ready file of an earlier run, and check that a new one can be written. Raises StartError."""
    if path is None:
        return
    shown = absolute(path)
    try:
        if path.is_dir():
            raise StartError(f"ready file {shown}: is a directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        _try_to_write(path.parent)
    except (FileExistsError, NotADirectoryError):
        raise StartError(f"ready file {shown}: part of the path is a file, not a directory") from None
    except OSError as error:
        raise StartError(f"ready file {shown}: {reason(error)}") from error


def read_settings(path: Path) -> dict[str, Any] | None:
    """Return the tables of a settings file; None if there is no such file. Raises StartError."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise StartError(f"settings file {absolute(path)}: part of the path is a file, not a directory") from None
    except OSError as error:
        raise StartError(f"settings file {absolute(path)}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise StartError(f"settings file {absolute(path)}: is not UTF-8 text") from error
    except (ValueError, RecursionError) as error:
        raise StartError(f"settings file {absolute(path)}: {' '.join(str(error).split())}") from error
    if unknown := sorted(tables.keys() - PROGRAMS - {"security"}):
        known = ", ".join(sorted({*PROGRAMS, "security"}))
        raise StartError(f"settings file {absolute(path)}: [{unknown[0]}] is not a program; the tables are {known}")
    if not isinstance(tables.get("security", {}), dict):
        raise StartError(f"settings file {absolute(path)}: security is not a table; write [security]")
    if unknown := sorted(tables.get("security", {}).keys() - SECURITY):
        known = ", ".join(sorted(SECURITY))
        raise StartError(f"settings file {absolute(path)}: [security] has no setting {unknown[0]}; it has {known}")
    return tables


def absolute(path: Path) -> str:
    """Return the absolute path as text; if the current directory no longer exists, return the path unchanged."""
    try:
        return str(path.absolute())
    except OSError:
        return str(path)


def _make_private(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & stat.S_ISVTX:
        raise StartError(
            f"data directory {absolute(path)}: is shared with other users; with authentication, use a directory "
            "that no other user can enter"
        )
    if mode & 0o077:
        path.chmod(0o700)


def _try_to_write(folder: Path) -> None:
    # Permission bits do not tell: root passes them, and a read-only or full file system does not show in them.
    probe = folder / f".tron-write-test.{os.getpid()}"
    try:
        with probe.open("wb") as file:
            file.write(b"tron\n" * 1000)
    finally:
        probe.unlink(missing_ok=True)
