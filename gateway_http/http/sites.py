"""Decides which pages may change something from a browser: only the pages of this address. Pure.

The same rule applies to every route that changes something on the ports that browsers open (`problems.own_pages_only`
applies it). Programs send none of these headers, and the rule does not concern them.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

OWN = frozenset({"same-origin", "none"})
"""What Sec-Fetch-Site says of a page of this address, and of a person (an address that was typed, a bookmark). Another
port of the same machine is `same-site`, and another site."""

REFUSAL = "a page of another site may not change anything here"


def is_own(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a request comes from a page of this address, or from no page at all.

    Browsers send the site of a page in Sec-Fetch-Site, but not over plain HTTP to another machine; there they send its
    origin, which must be the requested host, or the host that a proxy received (X-Forwarded-Host). A page cannot set
    any of these headers.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site.decode("latin-1") in OWN
    origin = headers.get(b"origin")
    if origin is None:
        return True
    authority = _authority(origin.decode("latin-1"))
    asked = (headers.get(b"host", b""), headers.get(b"x-forwarded-host", b"").split(b",")[0].strip())
    return authority != "" and authority in {each.decode("latin-1").lower() for each in asked}


def _authority(origin: str) -> str:
    """Return host and port of an origin; empty for `null` and for an invalid origin."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
