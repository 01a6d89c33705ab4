"""The program `tron registry`."""

from __future__ import annotations

import asyncio
import sys

from grid_hosting.program import host, read_config
from grid_hosting.sinks.journal import JournalError
from registry_server.config import Config


def main() -> None:
    """Run the registry until SIGTERM or SIGINT. Exit with code 1 if the registry cannot start, or can no longer write
    to its store."""
    config = read_config(Config, "registry", sys.argv[1:])
    # The rest takes longer to import than a refused setting should take to report.
    from registry_server.io.store import StoreError
    from registry_server.server import serve

    async def program(stop: asyncio.Event) -> None:
        await serve(config, stop)

    host(config, "registry", program, data_dir=config.data_dir, known=(StoreError, JournalError))


if __name__ == "__main__":
    main()
