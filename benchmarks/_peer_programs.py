"""The programs of `benchmarks.peers`: built from Go modules, or taken out of Debian packages; nothing is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from benchmarks._driver import NoGo, go
from benchmarks._report import RESULTS

SOURCE = Path(__file__).parent / "peers_driver"
FOLDER = RESULTS / "peers"


class NotMeasured(RuntimeError):
    """A peer cannot be measured here; the text says why."""


@cache
def built(package: str, name: str) -> Path:
    """Build a program of the module in `peers_driver`, or of a module that its go.mod requires as a tool."""
    _go(SOURCE, "build", "-o", str(FOLDER / name), package)
    return FOLDER / name


def built_elsewhere(package: str, wanted: str, name: str) -> Path:
    """Build a program whose requirements do not go with those of the others, in a module of its own."""
    module = FOLDER / f"{name}-module"
    module.mkdir(parents=True, exist_ok=True)
    if not (module / "go.mod").exists():
        _go(module, "mod", "init", f"peers/{name}")
    _go(module, "get", "-tool", f"{package}@{wanted}")
    _go(module, "build", "-o", str(FOLDER / name), package)
    return FOLDER / name


def _go(folder: Path, *arguments: str) -> None:
    try:
        command = [go(), *arguments]
    except NoGo as error:
        raise NotMeasured(str(error)) from None
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(f"`go {' '.join(arguments)}` failed: {_last_line(done.stderr)}")


def unpacked(*packages: str) -> Path:
    """The folder into which Debian packages, and what they need and the machine does not have, are taken out."""
    folder = FOLDER / packages[0]
    if folder.exists():
        return folder
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NotMeasured(f"it is neither installed nor is this a Debian system, which has the package {packages[0]}")
    with tempfile.TemporaryDirectory() as archives:
        Path(archives, "partial").mkdir()
        options = ("-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1")
        download = ("apt-get", "install", "--yes", "--download-only", "--no-install-recommends", *options, *packages)
        done = subprocess.run(download, capture_output=True, text=True, check=False)
        if done.returncode:
            subprocess.run(["apt-get", "update"], capture_output=True, check=False)
            done = subprocess.run(download, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotMeasured(f"Debian's {packages[0]} cannot be downloaded: {_last_line(done.stderr)}")
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as work:
            for archive in Path(archives).glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", archive, f"{work}/out"], check=True)
            shutil.rmtree(Path(work, "out", "usr/share/doc"), ignore_errors=True)  # documents of others are not checked
            Path(work, "out").rename(folder)
    return folder


def version(*command: str | Path) -> str:
    """The first number of the form 1.2.3 that a command prints."""
    printed = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", printed.stdout + printed.stderr)
    return found[0] if found else ""


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it printed nothing"])[-1]
