"""A registry whose data directory has principals does not serve everyone because a setting is missing."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from pathlib import Path

import pytest

from grid_hosting.access import programs
from grid_hosting.access.store import FILE, AccessStore
from grid_hosting.program import read_config
from grid_hosting.start import StartError
from registry_server.config import Config
from registry_server.server import serve


async def start_and_stop(folder: Path, *flags: str) -> None:
    """Start a registry, and stop it at once."""
    stop = asyncio.Event()
    stop.set()
    flags = ("--data-dir", str(folder), "--listen", "127.0.0.1:0", "--metrics-listen", "off", *flags)
    await serve(read_config(Config, "registry", (*flags, "--no-self-register")), stop)


def secured_before(folder: Path) -> None:
    """Leave the principals of an earlier run."""
    with closing(AccessStore(folder)) as store:
        store.change(lambda book: programs.issue_admin(book, "tron_" + "x" * 43, time.time()))


async def test_a_registry_with_principals_does_not_start_without_authentication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secured_before(tmp_path)
    with pytest.raises(StartError) as refused:
        await start_and_stop(tmp_path)
    text = str(refused.value)
    for part in ("[security] authentication: is missing", str(tmp_path / FILE), "1 principal,", "--no-authentication"):
        assert part in text
    await start_and_stop(tmp_path, "--no-authentication")
    await start_and_stop(tmp_path, "--authentication")


async def test_a_registry_without_principals_starts_and_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await start_and_stop(tmp_path)
    assert not (tmp_path / FILE).exists()
    with closing(AccessStore(tmp_path)):
        pass
    await start_and_stop(tmp_path)
