"""Creates the dispatcher of a program from its settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2

from grid_hosting.sinks import BackgroundTask, Sink
from grid_hosting.sinks.alertmanager import AlertmanagerSink, Renewal
from grid_hosting.sinks.apprise_sink import AppriseSink
from grid_hosting.sinks.config import AlertmanagerConfig, SinksConfig
from grid_hosting.sinks.dead_man import DeadMan
from grid_hosting.sinks.dispatcher import Dispatcher
from grid_hosting.sinks.http_client import open_client
from grid_hosting.sinks.journal import Journal
from grid_hosting.sinks.webhook import WebhookSink
from grid_hosting.start import StartError


def build(config: SinksConfig, folder: Path, *, source: str, healthy: Callable[[], bool]) -> Dispatcher:
    """Return the dispatcher of one program. The program must run the dispatcher. `folder` contains the queues of the
    dispatcher, and must not be shared.

    `source` identifies the sender by a URI reference, such as `/grid/tron`. Signs of life are sent while `healthy`
    returns true. If the settings have no sink, notices are only logged, and no file is created. Raises StartError if a
    secret has disappeared since the settings were read, and JournalError if the folder cannot be used or another
    program uses it.
    """
    try:
        return _build(config, folder, source, healthy)
    except ValueError as error:
        raise StartError(f"operator sinks: {error}") from error


def _build(config: SinksConfig, folder: Path, source: str, healthy: Callable[[], bool]) -> Dispatcher:
    if not (config.webhook or config.alertmanager or config.channels() or config.dead_man):
        return Dispatcher()
    client = open_client(config.timeout)
    sinks: list[Sink] = [
        WebhookSink(hook.name, str(hook.url), hook.key(), source, hook.headers(), client) for hook in config.webhook
    ]
    sinks += [AppriseSink(url) for url in config.channels()]
    background: list[BackgroundTask] = []
    if (dead_man := config.dead_man) is not None:
        background.append(DeadMan(str(dead_man.url), dead_man.every, dead_man.method, healthy, config.timeout, client))
    journal = Journal(folder) if sinks or config.alertmanager else None
    if journal is not None:
        managers = [_alertmanager(each, config.timeout, journal, client) for each in config.alertmanager]
        sinks += managers
        background += managers
    return Dispatcher(
        sinks, journal, bound=config.queue_size, retry=config.retry(), background=background, close=client.aclose
    )


def _alertmanager(
    config: AlertmanagerConfig, timeout: float, journal: Journal, client: httpx2.AsyncClient
) -> AlertmanagerSink:
    return AlertmanagerSink(
        name=config.name,
        url=str(config.url),
        labels=config.labels,
        headers=config.headers(),
        renewal=Renewal(config.renew_every, config.active_for),
        timeout=timeout,
        table=journal.table(f"{config.name}/standing"),
        client=client,
    )
