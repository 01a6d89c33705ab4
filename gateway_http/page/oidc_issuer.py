"""The issuer at which people log in to the dashboard: where its endpoints are, and the exchange of a code for an ID
token."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote_plus, urlsplit

import structlog

from gateway_http.page import messages
from gateway_http.page.oidc_flow import Flow, LoginRefused, Provider, error_in, read_id_token, read_provider
from grid_hosting.issuer_http import IssuerHttp, IssuerUnreachableError
from grid_hosting.oidc_settings import CA, OidcSettings
from grid_hosting.start import StartError

log = structlog.get_logger("gateway")

FETCH_EVERY = 3600.0
"""Seconds between two requests for the document of an issuer, which changes rarely."""

KEPT_FOR = 24 * 3600.0
"""Seconds for which the document counts although it cannot be read."""

MOST_DOCUMENT = 256 << 10
"""Bytes of the document."""

MOST_ANSWER = 64 << 10
"""Bytes of the answer with the tokens."""


class OidcIssuer:
    """One issuer. `run` keeps its document current: no request of a browser causes one for it."""

    def __init__(
        self, settings: OidcSettings, clock: Callable[[], float] = time.monotonic, http: IssuerHttp | None = None
    ) -> None:
        """Raises StartError for the CA bundle, and for the file of the secret."""
        self.settings = settings
        settings.secret()
        self._http = http or IssuerHttp(settings.ca, CA)
        self._clock = clock
        self._provider: Provider | None = None
        self._read_at = 0.0
        self._failing: set[str] = set()

    @property
    def name(self) -> str:
        """The host of the issuer, by which people know it."""
        return urlsplit(self.settings.issuer).netloc

    @property
    def provider(self) -> Provider:
        """What the issuer says of itself. Raises IssuerUnreachableError if that is not known."""
        if self._provider is None or self._clock() - self._read_at > KEPT_FOR:
            raise IssuerUnreachableError(f"{self._document} could not be read")
        return self._provider

    async def run(self) -> None:
        """Read the document at once, and then every FETCH_EVERY seconds, until cancelled."""
        await self._http.repeat(self.fetch, FETCH_EVERY)

    async def fetch(self) -> bool:
        """Read the document once; return whether that was possible."""
        try:
            content = await self._http.get(self._document, MOST_DOCUMENT)
            self._provider = read_provider(content, self.settings.issuer)
        except (IssuerUnreachableError, ValueError) as error:
            why = f"{self._document} {error}" if isinstance(error, ValueError) else str(error)
            self._failed("oidc_issuer_failed", why)
            return False
        self._read_at = self._clock()
        self._failing.discard("oidc_issuer_failed")
        return True

    async def exchange(self, code: str, flow: Flow, redirect_uri: str) -> str:
        """Return the ID token for a code. Raises LoginRefused if it does not answer this login, and
        IssuerUnreachableError, whose reason is in the log, if the issuer does not do as it must."""
        try:
            token = await self._exchange(code, flow, redirect_uri)
        except (IssuerUnreachableError, StartError) as error:
            self._failed("oidc_login_failed", str(error))
            raise IssuerUnreachableError(str(error)) from error
        self._failing.discard("oidc_login_failed")
        return token

    async def _exchange(self, code: str, flow: Flow, redirect_uri: str) -> str:
        settings, provider = self.settings, self.provider
        secret = settings.secret()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": settings.client_id,
            "code_verifier": flow.verifier,
        }
        basic = None
        if secret is not None and provider.basic:
            basic = (quote_plus(settings.client_id), quote_plus(secret))  # RFC 6749, section 2.3.1
        elif secret is not None:
            form["client_secret"] = secret
        status, content = await self._http.post(provider.token_endpoint, form, MOST_ANSWER, basic)
        if status != 200:
            error = error_in(content)
            if error == "invalid_grant":
                raise LoginRefused(messages.CODE_REFUSED)
            raise IssuerUnreachableError(f"{provider.token_endpoint} answers {status} {error}".rstrip())
        try:
            return read_id_token(content, flow, settings)
        except ValueError as error:
            raise IssuerUnreachableError(f"the answer of {provider.token_endpoint} {error}") from None

    @property
    def _document(self) -> str:
        return f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"

    def _failed(self, event: str, why: str) -> None:
        if event not in self._failing:  # once, and not for each attempt
            log.error(event, issuer=self.settings.issuer, why=why)
        self._failing.add(event)
