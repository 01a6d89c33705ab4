"""`tron monitor`."""

from __future__ import annotations

import asyncio
import sys

from grid_hosting.program import read_config, run, set_up_logs
from tron.config import Config
from tron.server import serve


def main() -> None:
    """Run TRON until SIGTERM or SIGINT. Exits with 1 where it can not start."""
    config = read_config(Config, "monitor", sys.argv[1:])
    set_up_logs(config)

    async def program(stop: asyncio.Event) -> None:
        await serve(config, stop)

    try:
        run(program)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"tron monitor: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
