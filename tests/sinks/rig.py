"""What the tests of the sinks share: a webhook to a receiver, quick retries, a dispatcher that runs for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from grid_hosting.sinks.build import build
from grid_hosting.sinks.config import SinksConfig
from grid_hosting.sinks.dispatcher import Dispatcher
from tests.support.http_receiver import Delivery, Receiver

SECRET = "a secret of the tests"
SOURCE = "/grid/tron"


def settings(folder: Path, *receivers: Receiver, **fields: Any) -> SinksConfig:
    """Settings with one webhook for each receiver (`webhook-0` ...), which tries again soon."""
    secret = folder / "secret"
    secret.write_text(SECRET + "\n")
    webhooks = [
        {"name": f"webhook-{number}", "url": receiver.url, "secret_file": secret}
        for number, receiver in enumerate(receivers)
    ]
    quick = {"longest_pause": 0.1}
    return SinksConfig.model_validate({"webhook": webhooks, **quick, **fields})


def make_dispatcher(folder: Path, *receivers: Receiver, **fields: Any) -> Dispatcher:
    """A dispatcher on `folder`, not yet running."""
    return build(settings(folder, *receivers, **fields), folder / "sinks", source=SOURCE, healthy=lambda: True)


@asynccontextmanager
async def running(dispatcher: Dispatcher) -> AsyncIterator[Dispatcher]:
    """Run it until the block ends."""
    task = asyncio.ensure_future(dispatcher.run())
    try:
        yield dispatcher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def ids(deliveries: list[Delivery]) -> list[str]:
    """The alert ids of what was delivered, in order."""
    return [each.document["id"] for each in deliveries]
