"""Signs webhooks by the scheme of Standard Webhooks (HMAC-SHA256), which has libraries in most languages. Pure.

`docs/sinks.md` shows how a receiver verifies a signature.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from urllib.parse import quote

SHORTEST_KEY = 16
"""Minimum length of a key in bytes; a shorter key can be guessed."""

_PREFIX = "whsec_"


def key_of(secret: str) -> bytes:
    """Return the signing key in a secret: the decoded base64 after `whsec_`, or the text itself if it does not begin
    with that. Raises ValueError if the key is too short."""
    text = secret.strip()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else text.encode()
    except binascii.Error:
        raise ValueError("the text after whsec_ is not base64") from None
    if len(key) < SHORTEST_KEY:
        raise ValueError(f"the secret has {len(key)} bytes; it needs at least {SHORTEST_KEY}")
    return key


def signed_headers(key: bytes, alert_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers with which a receiver verifies who sent the body, and when. `timestamp` is in seconds since
    the epoch."""
    # An id may hold any character; a header may not.
    message_id = quote(alert_id, safe="!#$&'*+-^_`|~:/@")
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
