"""The program `tron gateway`."""

from __future__ import annotations

import asyncio
import sys

from gateway_http.config import Config
from grid_hosting.program import Dials, host, read_config


def main() -> None:
    """Run the gateway until SIGTERM or SIGINT. Exit with status 1 if the gateway cannot start."""
    config = read_config(Config, "gateway", sys.argv[1:])
    # The rest takes longer to import than a refused setting should take to report.
    from gateway_http.server import serve

    async def program(stop: asyncio.Event) -> None:
        await serve(config, stop)

    dials = Dials(config.token_file, (config.registry, config.tron))
    host(config, "gateway", program, data_dir=config.data_dir, dials=dials)


if __name__ == "__main__":
    main()
