"""The sentences by which the gateway explains a login by OpenID Connect, in one place, so that they can be edited as
text. Those of the page itself are in `dashboard/messages.js`."""

from __future__ import annotations

NO_LOGIN = (
    "This login is not under way: it took longer than 10 minutes, has been answered already, or began in another "
    "browser."
)
OTHER_LOGIN = "This answer belongs to another login; perhaps a later one began in another tab."
NO_CODE = "The answer of the issuer has no code."
CODE_REFUSED = "The issuer does not accept the code of this login; it has ended, or was used already."
OTHER_NONCE = "The issuer sent a token that belongs to another login."
OTHER_AUDIENCE = "The issuer sent a token that was issued for another client, or by another issuer."
TOKEN_REFUSED = (
    "The registry does not accept the token of the issuer: its table [[security.jwt]] does not fit, the keys of the "
    "issuer have changed just now, or this person is denied."
)
ISSUER_AWAY = "The issuer does not answer, or not as it must. The log of the gateway has the reason. Try again later."
BUSY = "Too many logins are under way. Try again in a few seconds."
REGISTRY_AWAY = "The registry does not answer, or does not know the keys of the issuer yet. Try again in a few seconds."
LOGGED_IN = "You are logged in"
NOT_LOGGED_IN = "You are not logged in"
CONTINUE = "Continue to System Status"
AGAIN = "Back to the login"


def refused_by_issuer(error: str) -> str:
    """Return why an issuer sends a person back without a code; `error`: its code for it."""
    return f"The issuer refused the login: {error}."


def may_nothing(why: str) -> str:
    """Return why a person who is known may not use the page."""
    return f"Your account is known, but {why}. An administrator can grant it, or add a row to [security.jwt.roles]."
