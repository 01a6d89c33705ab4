"""The files of the dashboard, and the headers that restrict what a browser may do with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent / "dashboard"

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No text of a service can become markup or a script, whatever a module does wrong.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""The content security policy of the dashboard: it loads files only from this server, and has no inline code."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    # Revalidated each time, answered by 304: after an update no browser runs half of the old page.
    "cache-control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """The content of one file of the dashboard, with its media type and ETag."""

    body: bytes
    media_type: str
    etag: str


def load_page(
    folder: Path = FOLDER, root_path: str = "", *, secured: bool = False, issuer: str = ""
) -> dict[str, PageFile]:
    """Return the files of the dashboard by name. They are read once; no other file is served, whatever the path of a
    request.

    All addresses in the files are relative. With `root_path`, the addresses in index.html begin with that prefix, so
    that the page also works at an address that does not end with a slash. `secured`: whether people must log in.
    `issuer`: the name of the issuer at which they can log in; empty if there is none.
    """
    files = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in MEDIA_TYPES:
            body = path.read_bytes()
            if path.suffix == ".html" and root_path:
                for folder_of_page in (b"dashboard/", b"v1/"):
                    body = body.replace(b'="' + folder_of_page, b'="' + root_path.encode() + b"/" + folder_of_page)
            if path.name == "index.html" and secured:
                data = f' data-issuer="{escape(issuer)}"' if issuer else ""
                body = body.replace(b"<html ", f'<html data-secured="true"{data} '.encode(), 1)
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            files[path.name] = PageFile(body, MEDIA_TYPES[path.suffix], etag)
    return files
