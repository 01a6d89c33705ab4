"""Collects the data of a support bundle about the machine: versions, settings, processes, files. These functions return
no secrets."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from grid_hosting.data_files import Kind, known, state_file
from tron_cli.redaction import Redactor, environment, flags, named_secrets, removed_texts

PACKAGES = (
    *("tron-grid", "grpcio", "protobuf", "fastapi", "starlette", "uvicorn", "uvloop", "httptools", "websockets"),
    *("pydantic", "pydantic-settings", "structlog", "typer", "rich", "httpx2", "python-socketio", "prometheus-client"),
    *("apprise", "opentelemetry-sdk"),
)
MODULES = {"registry_server": "registry", "tron": "monitor", "gateway_http": "gateway", "tron_cli": "tron"}
COMMANDS = frozenset({"up", "demo"})
"""The commands of `tron` that continue to run. The arguments of other commands are not shown."""

MOST_FILES = 500
LARGEST_SECRET = 64 << 10


def versions() -> dict[str, Any]:
    """Return the versions of the installed programs, and the resources of the machine."""
    packages: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    files, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "tron": packages.pop("tron-grid"),
        "python": sys.version,
        "sqlite": sqlite3.sqlite_version,
        "packages": packages,
        "system": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "open_files_limit": {"soft": files, "hard": most_files},
        "load": os.getloadavg(),
    }


def redactor_for(tables: Mapping[str, Any], variables: Mapping[str, str]) -> Redactor:
    """Return a redactor that knows the secrets in these settings, and those in the files and variables to which the
    settings refer."""
    secrets = removed_texts(tables)
    files, names = named_secrets(tables)
    for file in files:
        try:
            text = Path(file).read_text(errors="replace")[:LARGEST_SECRET]
            secrets.update(line.strip() for line in text.splitlines())
        except OSError:
            continue  # then nobody has read it
    secrets.update(variables.get(name, "") for name in names)
    return Redactor(secrets)


def processes(redactor: Redactor) -> list[dict[str, Any]]:
    """Return the running programs of this installation that this user may inspect; an empty list on a system without
    /proc."""
    found = []
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda each: int(each.name)):
        try:
            words = [word.decode(errors="replace") for word in (folder / "cmdline").read_bytes().split(b"\0")[:-1]]
            program, arguments = _program(words)
            if not program:
                continue
            status = dict(
                line.split(":", 1) for line in (folder / "status").read_text().splitlines() if line.count(":") == 1
            )
            variables = dict(
                each.decode(errors="replace").split("=", 1)
                for each in (folder / "environ").read_bytes().split(b"\0")
                if b"=" in each
            )
            found.append(
                {
                    "pid": int(folder.name),
                    "program": program,
                    "flags": flags(arguments, redactor),
                    "environment": environment(variables, redactor),
                    "threads": int(status["Threads"]),
                    "open_files": len(list((folder / "fd").iterdir())),
                    "memory": status.get("VmRSS", "").strip(),
                    "state": status.get("State", "").strip(),
                }
            )
        except (OSError, ValueError, KeyError):
            continue  # it ended meanwhile, or belongs to another user
    return found


def store(data_dir: Path) -> dict[str, Any]:
    """Return the files below a data directory, and for each database its version and the number of rows of each table,
    but not their content. Raises OSError."""
    usage = shutil.disk_usage(data_dir)
    paths = sorted(path for path in data_dir.rglob("*") if path.is_file() and not path.is_symlink())
    files = [{"path": str(path.relative_to(data_dir)), "bytes": path.stat().st_size} for path in paths if known(path)]
    databases = {}
    for path in paths:
        file = state_file(path)
        if file is not None and file.kind is Kind.DATABASE:
            databases[str(path.relative_to(data_dir))] = _database(path)
    return {
        "disk": {"total_bytes": usage.total, "free_bytes": usage.free},
        "files": files[:MOST_FILES],
        "other_files": len(paths) - len(files),
        "databases": databases,
    }


def _database(path: Path) -> dict[str, Any]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as database:

            def pragma(name: str) -> Any:
                return database.execute(f"PRAGMA {name}").fetchone()[0]

            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {
                "schema": pragma("user_version"),
                "journal": pragma("journal_mode"),
                "pages": pragma("page_count"),
                "page_bytes": pragma("page_size"),
                "free_pages": pragma("freelist_count"),
                "rows": {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables},
            }
    except sqlite3.Error as error:
        return {"error": str(error)}


def _program(words: list[str]) -> tuple[str, list[str]]:
    """Return which program of the system a command line runs, and its arguments; empty for any other command."""
    for place, word in enumerate(words[:-1]):
        module = words[place + 1] if word == "-m" else "tron_cli" if Path(word).name == "tron" else ""
        arguments = words[place + 2 :] if word == "-m" else words[place + 1 :]
        if (program := MODULES.get(module)) is None:
            continue
        if program != "tron":
            return program, arguments
        if arguments and arguments[0] in COMMANDS:
            return f"tron {arguments[0]}", arguments[1:]
    return "", []
