"""A dispatcher whose disk is full for a while: files may not grow, as the kernel sees to it. Prints what happened."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

import structlog

from grid_hosting.sinks.build import build
from grid_hosting.sinks.config import SinksConfig
from grid_hosting.sinks.dispatcher import NotDurable
from tests.sinks.rig import SOURCE, running
from tests.support.notices import make_notice
from tests.support.waiting import eventually


async def main(folder: str, settings: str) -> None:
    """Print one word for each step."""
    config = SinksConfig.model_validate_json(settings)
    async with running(build(config, Path(folder), source=SOURCE, healthy=lambda: True)) as dispatcher:
        await dispatcher.submit(make_notice("before"))
        await eventually(lambda: dispatcher.stats()["webhook-0"].delivered == 1)
        print("durable")
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        for number in range(2):
            try:
                await dispatcher.submit(make_notice(f"full-{number}"))
            except NotDurable:
                print("not-durable")
        await eventually(lambda: dispatcher.stats()["webhook-0"].queued == 0)
        print("delivered")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await dispatcher.submit(make_notice("after"))
        await eventually(lambda: dispatcher.stats()["webhook-0"].queued == 0)
        print("durable-again")


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(*sys.argv[1:]))
