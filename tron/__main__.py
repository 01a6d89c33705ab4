"""The program `tron monitor`."""

from __future__ import annotations

import asyncio
import sys

from grid_hosting.program import Dials, host, read_config
from grid_hosting.sinks.journal import JournalError
from tron.config import Config


def main() -> None:
    """Run TRON until SIGTERM or SIGINT. Exit with 1 if TRON cannot start."""
    config = read_config(Config, "monitor", sys.argv[1:])
    # The rest takes longer to import than a refused setting should take to report.
    from tron.server import serve

    async def program(stop: asyncio.Event) -> None:
        await serve(config, stop)

    dials = Dials(config.token_file, (config.registry,))
    host(config, "monitor", program, data_dir=config.data_dir, known=(JournalError,), dials=dials)


if __name__ == "__main__":
    main()
