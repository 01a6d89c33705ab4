"""Which pages may change something from a browser: only those of this address. Pure.

One rule for every route that changes something on the ports that browsers open (`problems.own_pages_only` applies it).
Programs send none of these headers, and the rule does not concern them.
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
    """Whether a request comes from a page of this address, or from no page at all.

    Browsers say where a page is from in Sec-Fetch-Site, but not to plain http beyond this machine; there they name its
    origin, which must be the host that was asked for, also where a proxy was (X-Forwarded-Host). A page cannot set any
    of these headers.
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
    """Host and port of an origin; empty for `null` and for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
