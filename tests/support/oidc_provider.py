"""An issuer at which people log in (OpenID Connect), for tests: it checks what a client sends as a real one does, and
can be made to misbehave. It is asked in this process, or serves a browser over TLS."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from grid_hosting.issuer_http import IssuerHttp
from tests.support.authority import Authority
from tests.support.issuer import URL, claims, ec_key, key_set, sign

CLIENT = "tron-page"
SECRET = "a secret: of+the client"

Answer = tuple[int, dict[str, str], bytes]


def _json(status: int, document: Any) -> Answer:
    return status, {"content-type": "application/json"}, json.dumps(document).encode()


@dataclass
class OidcProvider:
    """One issuer, with one client and one person, who always agrees."""

    url: str = URL
    secret: str = ""
    """Empty: a public client."""
    at: str = ""
    """Where a browser reaches it, if that is not `url`."""
    document: dict[str, Any] = field(default_factory=dict)
    """What its document has beside or in place of the usual."""
    claims: dict[str, Any] = field(default_factory=lambda: {"groups": ["readers"]})
    """What the ID token has beside or in place of the usual; None takes a claim out."""
    returns: dict[str, str] = field(default_factory=dict)
    """What it sends back in place of a code."""
    token_answer: Answer | None = None
    """What the token endpoint answers in place of tokens."""
    issued: Callable[[str], None] = lambda _: None
    """It receives each ID token."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """The forms that the token endpoint has received."""
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def answer(self, method: str, target: str, form: Mapping[str, str], basic: tuple[str, str] | None) -> Answer:
        """Answer one request."""
        parts = urlsplit(target)
        match method, parts.path:
            case "GET", "/.well-known/openid-configuration":
                usual = {
                    "issuer": self.url,
                    "authorization_endpoint": f"{self.at or self.url}/authorize?prompt=login",
                    "token_endpoint": f"{self.url}/token",
                    "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                    "authorization_response_iss_parameter_supported": True,
                }
                return _json(200, {**usual, **self.document})
            case "GET", "/keys":
                return 200, {}, key_set(ec_key())
            case "GET", "/authorize":
                return 302, {"location": self.authorize(target)}, b""
            case "POST", "/token":
                self.asked.append(dict(form))
                return self.token_answer or self._token(form, basic)
        return 404, {}, b""

    def authorize(self, target: str) -> str:
        """Return the address to which the browser comes back from the authorization endpoint."""
        asked = dict(parse_qsl(urlsplit(target).query, strict_parsing=True))
        assert (asked["response_type"], asked["client_id"], asked["prompt"]) == ("code", CLIENT, "login")
        assert (asked["code_challenge_method"], "openid" in asked["scope"].split()) == ("S256", True)
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        answer = {"state": asked["state"], "iss": self.url, **(self.returns or {"code": code})}
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def _token(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> Answer:
        given = (unquote_plus(basic[0]), unquote_plus(basic[1])) if basic else None
        posted = form.get("client_secret")
        authenticated = (
            given == (CLIENT, self.secret) or posted == self.secret if self.secret else not (basic or posted)
        )
        if not authenticated or form["client_id"] != CLIENT:
            return _json(401, {"error": "invalid_client"})
        asked = self._codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form["redirect_uri"]:
            return _json(400, {"error": "invalid_grant", "error_description": "<b>secret</b>"})
        usual = {"iss": self.url, "aud": CLIENT, "nonce": asked["nonce"]}
        token = sign(claims(**{**usual, **self.claims}))
        self.issued(token)
        return _json(200, {"access_token": "opaque", "token_type": "Bearer", "expires_in": 600, "id_token": token})


class ProviderHttp(IssuerHttp):
    """Asks an issuer of this process."""

    def __init__(self, provider: OidcProvider) -> None:
        super().__init__(None, "ca")
        self._provider = provider

    async def _send(
        self,
        method: str,
        url: str,
        most: int,
        form: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, bytes]:
        status, _, body = self._provider.answer(method, url, form or {}, basic)
        return status, body


@contextmanager
def serving(provider: OidcProvider, folder: Path, host: str = "issuer.test") -> Iterator[Path]:
    """Serve an issuer over TLS on loopback until the block ends; yield the CA bundle. `host`: the name by which a
    browser reaches it, which is another site than that of the gateway."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            form = dict(parse_qsl(self.rfile.read(length).decode()))
            scheme, _, encoded = self.headers.get("authorization", "").partition(" ")
            name, _, password = base64.b64decode(encoded).decode().partition(":")
            status, headers, body = provider.answer(
                self.command, self.path, form, (name, password) if scheme == "Basic" else None
            )
            self.send_response(status)
            for each in {**headers, "content-length": str(len(body))}.items():
                self.send_header(*each)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name of the base class

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
            """Nothing."""

    ca = Authority("issuer CA")
    cert, key = ca.issue(dns=(host,)).write(folder, "issuer")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    port = server.server_address[1]
    provider.url, provider.at = f"https://127.0.0.1:{port}", f"https://{host}:{port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="issuer")
    thread.start()
    try:
        yield ca.write(folder, "issuer-ca")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
