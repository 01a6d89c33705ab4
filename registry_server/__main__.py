"""`tron registry`."""

from __future__ import annotations

import asyncio
import sys

from grid_hosting.program import read_config, run, set_up_logs
from registry_server.config import Config
from registry_server.server import serve
from registry_server.store import StoreError


def main() -> None:
    """Run the registry until SIGTERM or SIGINT. Exits with 1 where it can not start or can not write any more."""
    config = read_config(Config, "registry", sys.argv[1:])
    set_up_logs(config)

    async def program(stop: asyncio.Event) -> None:
        await serve(config, stop)

    try:
        run(program)
    except* (StoreError, RuntimeError, OSError) as group:
        for error in group.exceptions:
            print(f"tron registry: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
