"""Watches TRON. When TRON is lost, and when it is back, this is recorded in the event log and operators are
notified."""

from __future__ import annotations

import asyncio
import time
import uuid

import structlog
from grid_model.event import Event, Severity

from grid_hosting.sinks.dispatcher import Dispatcher, NotDurable
from grid_hosting.sinks.notice import OperatorNotice
from registry_server.io.loop import RegistryLoop

log = structlog.get_logger("operator")

NEVER_CAME_AFTER = 60.0
"""Seconds without an observer since the start of the registry after which operators are notified that TRON is lost."""

LOOK_EVERY = 0.25


async def watch_the_watcher(loop: RegistryLoop, dispatcher: Dispatcher, lost_after: float) -> None:
    """Until cancelled, check whether TRON is watching, and report each change once. `lost_after`: seconds without a
    watching observer after which operators are notified that TRON is lost. If no observer has been watching since the
    start, operators are notified after NEVER_CAME_AFTER seconds."""
    # Attentive seconds: while this process was stopped, TRON may have been sending all the time.
    patience, since, loss = NEVER_CAME_AFTER, loop.now().attentive, ""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        now = loop.now().attentive
        if loop.registry.watched:
            if loss:
                await _notify(loop, dispatcher, loss, "TRON is watching again", now - since, resolved=True)
            patience, since, loss = lost_after, now, ""
        elif not loss and now - since > patience and not loop.draining:
            loss = str(uuid.uuid4())
            await _notify(
                loop, dispatcher, loss, "TRON is not watching: liveness is not evaluated", now - since, resolved=False
            )


async def _notify(
    loop: RegistryLoop, dispatcher: Dispatcher, loss: str, message: str, seconds: float, *, resolved: bool
) -> None:
    alert_id = str(uuid.uuid4()) if resolved else loss
    kind = "monitor_back" if resolved else "monitor_lost"
    level = log.warning if resolved else log.critical
    severity = Severity.WARNING if resolved else Severity.CRITICAL
    level(kind, seconds=round(seconds, 2))
    details = {"seconds": round(seconds, 2), "loss": loss}
    event = Event(
        kind,
        alert_id=alert_id,
        occurred_at=time.time(),
        severity=severity,
        message=message,
        details=details,
    )
    loop.registry.publish(event, loop.now())
    loop.flush()
    notice = OperatorNotice(
        alert_id=alert_id,
        type="monitor_lost",
        severity=severity,
        message=message,
        occurred_at=event.occurred_at,
        details=details,
        resolved=resolved,
    )
    try:
        await dispatcher.submit(notice)
    except NotDurable as error:
        log.error("operators_not_served", why=str(error))
