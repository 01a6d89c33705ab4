"""A sink for one channel of Apprise (mail, chat, SMS, ...), which is given by a URL. The library is the extra
`notify`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from grid_model.event import Severity
from grid_model.moments import rfc3339

from grid_hosting.http_transport import spare_loopback
from grid_hosting.sinks import SinkUnavailable
from grid_hosting.sinks.notice import OperatorNotice

if TYPE_CHECKING:
    from apprise import Apprise

MISSING = "Apprise is not installed; install tron-grid[server,notify]"

SHOWN_DETAILS = 1000
"""Maximum number of characters of the details in a message, because people read it, some of them as an SMS."""

_NOWHERE = logging.NullHandler()


def load_channel(url: str) -> Apprise:
    """Return the channel of an Apprise URL. Raises ValueError if the library is missing or does not support the URL."""
    try:
        from apprise import Apprise, AppriseAsset
    except ImportError as error:
        raise ValueError(MISSING) from error
    spare_loopback(os.environ)
    # It would say on its own, at each attempt, what its result says as well, and what we say once.
    said = logging.getLogger("apprise")
    said.propagate = False
    said.addHandler(_NOWHERE)
    # With a time-out it would work in threads that all channels share, and that the end of the program waits for.
    channel = Apprise(asset=AppriseAsset(app_id="TRON", app_desc="TRON", async_mode=False, service_timeout=0))
    if not channel.add(url):
        raise ValueError("is not a URL that Apprise supports")
    return channel


class AppriseSink:
    """The sink for one channel of Apprise. Its name is the scheme of the URL and a digest of the URL, because URLs
    contain tokens, and their position in a list may change.

    Apprise blocks, so each attempt runs in a thread of its own. A thread cannot be cancelled: while one hangs, no other
    is started.
    """

    def __init__(self, url: str) -> None:
        """Load the channel. Raises ValueError as `load_channel` does."""
        self.name = f"apprise-{url.partition(':')[0].lower()}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
        self._channel = load_channel(url)
        self._attempt: threading.Thread | None = None

    async def deliver(self, notice: OperatorNotice) -> None:
        """Deliver a notice; return once the channel accepted it. Raises SinkUnavailable for every failure, because
        Apprise does not report whether another attempt could succeed."""
        if self._attempt is not None and self._attempt.is_alive():
            raise SinkUnavailable("an earlier attempt has not ended yet")
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[str] = loop.create_future()

        def settle(problem: str) -> None:
            if not outcome.done():
                outcome.set_result(problem)

        def attempt() -> None:
            problem = self._notify(notice)
            with suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(settle, problem)

        # A daemon: a channel that hangs must not hold up the end of the program.
        self._attempt = threading.Thread(target=attempt, name=self.name, daemon=True)
        self._attempt.start()
        if problem := await outcome:
            raise SinkUnavailable(problem)

    def _notify(self, notice: OperatorNotice) -> str:
        """Deliver a notice; return the error, empty if there was none."""
        from apprise import NotifyFormat

        try:
            result = self._channel.notify(
                body=body_of(notice),
                title=title_of(notice),
                notify_type=_kind(notice),
                body_format=NotifyFormat.TEXT,
            )
            said = " ".join(entry.message for entry in result.logs())
            return "" if result else f"{result.status.name}: {said}".rstrip(": ")
        except Exception as error:
            return f"{type(error).__name__}: {error}"


def title_of(notice: OperatorNotice) -> str:
    """Return the title of a message: one line with the severity, the type and the service."""
    word = "RESOLVED" if notice.resolved else notice.severity.name
    return " ".join(f"[{word}] {notice.type} {notice.subject}".split())


def body_of(notice: OperatorNotice) -> str:
    """Return the text of a message for people, with the alert_id at the end."""
    details = json.dumps(notice.details) if notice.details else ""
    facts = {
        "service": notice.service_id,
        "cause": notice.cause,
        "for": notice.recipient,
        "notified because": notice.why,
        "at": rfc3339(notice.occurred_at),
        "details": details if len(details) <= SHOWN_DETAILS else details[:SHOWN_DETAILS] + " ...",
        "alert": notice.alert_id,
    }
    return "\n".join([notice.message, *(f"{name}: {value}" for name, value in facts.items() if value)])


def _kind(notice: OperatorNotice) -> str:
    if notice.resolved:
        return "success"
    return {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}[notice.severity]
