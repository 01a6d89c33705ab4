"""The sink for a signed webhook: each notice is one CloudEvent, in the structured JSON mode of CloudEvents 1.0."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx2
from grid_model.moments import rfc3339

from grid_hosting.sinks.http_client import request
from grid_hosting.sinks.notice import OperatorNotice
from grid_hosting.sinks.signature import signed_headers

CONTENT_TYPE = "application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class WebhookSink:
    """Posts notices to one URL. `source` identifies the sender in the CloudEvent; `headers` are added to each
    request."""

    name: str
    url: str
    key: bytes
    source: str
    headers: dict[str, str]
    client: httpx2.AsyncClient

    async def deliver(self, notice: OperatorNotice) -> None:
        """Deliver a notice; return once the receiver answered 2xx. Each attempt has its own timestamp and signature."""
        body = json.dumps(cloud_event(notice, self.source)).encode()
        signed = signed_headers(self.key, notice.alert_id, int(time.time()), body)
        headers = {**self.headers, "content-type": CONTENT_TYPE, **signed}
        await request(self.client, "POST", self.url, body, headers)


def cloud_event(notice: OperatorNotice, source: str) -> dict[str, Any]:
    """Return the CloudEvent for a notice. Its `id` is the alert_id, so that a receiver can recognize a repetition."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": notice.alert_id,
        "source": source,
        "type": f"grid.alert.{notice.type}",
        "time": rfc3339(notice.occurred_at),
        "datacontenttype": "application/json",
        "data": {
            "severity": notice.severity.name.lower(),
            "resolved": notice.resolved,
            "service_id": notice.service_id,
            "service_name": notice.service_name,
            "cause": notice.cause,
            "recipient": notice.recipient,
            "why": notice.why,
            "message": notice.message,
            "details": notice.details,
        },
    }
    if notice.service_id:
        event["subject"] = notice.service_id
    return event
