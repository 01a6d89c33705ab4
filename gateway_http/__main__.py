"""`tron gateway`."""

from __future__ import annotations

import asyncio
import sys

from gateway_http.config import Config
from gateway_http.server import serve
from grid_hosting.program import read_config, run, set_up_logs


def main() -> None:
    """Run the gateway until SIGTERM or SIGINT. Exits with 1 where it can not start."""
    config = read_config(Config, "gateway", sys.argv[1:])
    set_up_logs(config)

    async def program(stop: asyncio.Event) -> None:
        await serve(config, stop)

    try:
        run(program)
    except* (RuntimeError, OSError) as group:
        for error in group.exceptions:
            print(f"tron gateway: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
