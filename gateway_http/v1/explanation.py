"""Explains why a service is in its state, with all known data about it."""

from __future__ import annotations

from typing import Any

from tron_client import NotImplementedYet, ServiceNotFound, TronError

from gateway_http.gateway import Gateway
from gateway_http.http.problems import Refused


async def explain(gateway: Gateway, service_id: str) -> dict[str, Any]:
    """Return the record and TRON's explanation; `note` gives the reason if there is no explanation. Raises Refused
    (404) if neither exists."""
    service = gateway.replica.service(service_id)
    explanation: dict[str, Any] | None = None
    note = ""
    try:
        explained = await gateway.tron.explain(service_id)
    except NotImplementedYet:
        note = "This TRON does not explain its verdicts; the facts below are all there is."
    except ServiceNotFound:
        note = "TRON does not judge this service now."
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
