"""The issuer at which people log in to the dashboard: reads its discovery document, and exchanges authorization codes
for ID tokens."""

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
"""Seconds between two reads of the discovery document, which changes rarely."""

KEPT_FOR = 24 * 3600.0
"""Seconds for which the last discovery document is used if it can no longer be read."""

MOST_DOCUMENT = 256 << 10
"""Maximum size of the discovery document, in bytes."""

MOST_ANSWER = 64 << 10
"""Maximum size of the answer of the token endpoint, in bytes."""


class OidcIssuer:
    """One issuer of OpenID Connect. `run` reads the discovery document of the issuer regularly, so that a request of a
    browser never has to wait for a read."""

    def __init__(
        self, settings: OidcSettings, clock: Callable[[], float] = time.monotonic, http: IssuerHttp | None = None
    ) -> None:
        """Raises StartError if the CA bundle, or the file with the client secret, cannot be used."""
        self.settings = settings
        settings.secret()
        self._http = http or IssuerHttp(settings.ca, CA)
        self._clock = clock
        self._provider: Provider | None = None
        self._read_at = 0.0
        self._failing: set[str] = set()

    @property
    def name(self) -> str:
        """The host of the issuer, which the login button of the dashboard shows."""
        return urlsplit(self.settings.issuer).netloc

    @property
    def provider(self) -> Provider:
        """The settings of the issuer from its discovery document. Raises IssuerUnreachableError if the last successful
        read of the document was more than KEPT_FOR seconds ago, or if there was none."""
        if self._provider is None or self._clock() - self._read_at > KEPT_FOR:
            raise IssuerUnreachableError(f"{self._document} could not be read")
        return self._provider

    async def run(self) -> None:
        """Read the discovery document at once, and then every FETCH_EVERY seconds, until cancelled."""
        await self._http.repeat(self.fetch, FETCH_EVERY)

    async def fetch(self) -> bool:
        """Read the discovery document once. Return whether it could be read and is valid; if not, the reason is
        logged."""
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
        """Exchange an authorization code for an ID token. Raises LoginRefused if the issuer rejects the code or the
        token does not belong to this login, and IssuerUnreachableError if the issuer does not answer correctly; the
        reason is then logged."""
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
