"""Writes the log lines of an agent's stream. Other programs may read the names and fields of these lines, so do not
change them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tron_client.protocol import happened

if TYPE_CHECKING:
    from tron_client.address import Address
    from tron_client.errors import TronError
    from tron_client.protocol.happened import Happened, Reconnect, Stop

_log = logging.getLogger("tron_client")


def happened_to(service_id: str, event: Happened) -> None:
    """Log an outcome of a service's session, if it is important enough."""
    match event:
        case happened.RegistrationConfirmed() if event.first:
            service = event.service
            _log.info("registered service_id=%s incarnation=%d", service.service_id, service.incarnation)
        case happened.ServiceUnknown():
            _log.warning("service_unknown service_id=%s incarnation=%d", service_id, event.incarnation)
        case happened.TakenOver() if event.expected:
            _log.info("handed_over service_id=%s to_incarnation=%d", service_id, event.incarnation)
        case happened.TakenOver():
            _log.warning("superseded service_id=%s by_incarnation=%d", service_id, event.incarnation)
        case happened.DownDeclared():
            cause, message = event.event.cause, event.event.message
            _log.warning("declared_down service_id=%s cause=%s message=%s", service_id, cause, message)
        case happened.RegistrationRefused():
            _log.error("registration_refused service_id=%s why=%s", service_id, event.message)
        case happened.FieldRejected():
            _log.warning("rejected service_id=%s field=%s why=%s", service_id, event.field, event.description)
        case happened.CutOffNoticed():
            _log.warning("cut_off service_id=%s limit=%.1f", service_id, event.limit)
        case happened.StreamGivenUp():
            _log.warning("stream_given_up service_id=%s", service_id)


def ended(service_id: str, address: Address, then: Reconnect | Stop, error: TronError | None) -> None:
    """Log the end of a stream. Log nothing if the program abandoned the stream, or if `Stop.because` already gives the
    reason."""
    if isinstance(then, happened.Stop):
        if then.left:
            _log.debug("stream_ended service_id=%s error=%r retry_in=%.3f", service_id, error, 0.0)
        return
    if then.drained:
        _log.info("registry_draining service_id=%s reconnect_in=%.3f", service_id, then.delay)
    if then.trouble:
        not_connected(service_id, address, then.trouble)
    level = logging.WARNING if then.was_registered else logging.DEBUG
    _log.log(level, "stream_ended service_id=%s error=%r retry_in=%.3f", service_id, error, then.delay)


def asked_to_move(address: Address, ends_in: float, *, renews: bool) -> None:
    """Log that the registry asks for the next stream before this one ends."""
    because = "the credential expires" if renews else "the connection is old"
    _log.info("next_stream_asked registry=%s ends_in=%.1f because=%s", address, ends_in, because)


def moved(address: Address, agents: int) -> None:
    """Log that the agents of a stream that is about to end have moved to the next stream."""
    _log.info("stream_moved registry=%s services=%d", address, agents)


def not_moved(address: Address, why: str) -> None:
    """Log that the agents could not move to the next stream, and why; another attempt follows."""
    _log.info("stream_not_moved registry=%s why=%s", address, why)


def not_connected(service_id: str, address: Address, why: str) -> None:
    """Log why the agent is not registered."""
    _log.warning("not_connected service_id=%s registry=%s why=%s", service_id, address, why)


def alert_not_taken(service_id: str, alert_id: str) -> None:
    """Log that an alert was dropped because the inbox is full."""
    _log.warning("alert_not_taken service_id=%s alert_id=%s", service_id, alert_id)


def failed(service_id: str) -> None:
    """Log a bug of the SDK that ended the stream, with the traceback of the current exception."""
    _log.exception("stream_failed service_id=%s", service_id)
