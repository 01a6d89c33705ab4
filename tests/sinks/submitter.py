"""Submits notices as fast as it can and prints the id of each once that returned, until it is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog

from grid_hosting.sinks.build import build
from grid_hosting.sinks.config import SinksConfig
from tests.sinks.rig import SOURCE
from tests.support.notices import make_notice


async def main(folder: str, settings: str, life: str) -> None:
    """Never returns."""
    config = SinksConfig.model_validate_json(settings)
    dispatcher = build(config, Path(folder), source=SOURCE, healthy=lambda: True)
    running = asyncio.ensure_future(dispatcher.run())
    number = 0
    while not running.done():
        await dispatcher.submit(make_notice(f"{life}-{number}"))
        print(f"{life}-{number}", flush=True)
        number += 1


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(*sys.argv[1:]))
