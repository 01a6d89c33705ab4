"""Explains why a service is in its state, with all known data about it."""

from __future__ import annotations

from typing import Any

from tron_client import NotImplementedYet, ServiceNotFound, TronError

from gateway_http.gateway import Gateway
from gateway_http.http.problems import Refused


async def explain(gateway: Gateway, service_id: str) -> dict[str, Any]:
    """Return the record of a service, and TRON's explanation of its state. If there is no explanation, the field `note`
    gives the reason. Raises Refused (404) if there is neither a record nor an explanation."""
    service = gateway.replica.service(service_id)
    explanation: dict[str, Any] | None = None
    note = ""
    try:
        explained = await gateway.tron.explain(service_id)
    except NotImplementedYet:
        note = "This version of TRON cannot explain its verdicts. Only the facts below are available."
    except ServiceNotFound:
        note = "TRON is not evaluating the liveness of this service right now."
    except TronError as error:
        note = f"TRON cannot be reached right now: {error.message or error.reason}"
    else:
        deadlines = [{"what": each["what"], "due_in": _seconds(each["due_in"])} for each in explained["deadlines"]]
        explanation = {
            "verdict": explained["verdict"],
            "rule": explained["rule"],
            "deadlines": deadlines,
            "margin": explained.get("margin", ""),
            "evidence": explained.get("evidence", {}),
        }
    if service is None and explanation is None:
        raise Refused(404, f"no service has the id {service_id!r}")
    return {"service": None if service is None else service.to_dict(), "explanation": explanation, "note": note}


def _seconds(duration: str) -> float:
    """Return a Duration in the JSON format of protobuf (`12.5s`) in seconds."""
    return float(duration.removesuffix("s"))
