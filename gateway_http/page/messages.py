"""The sentences that people see during a login by OpenID Connect, in one place, so that they can be edited as text. The
sentences of the dashboard itself are in `dashboard/messages.js`."""

from __future__ import annotations

NO_LOGIN = (
    "This login cannot be completed: it took longer than 10 minutes, was already completed, or began in another "
    "browser or before a restart of the gateway."
)
OTHER_LOGIN = "The issuer's answer belongs to another login. You may have begun a newer login in another tab."
NO_CODE = "The issuer's answer does not contain a valid authorization code."
CODE_REFUSED = "The issuer rejected the authorization code of this login: the code has expired or was already used."
OTHER_NONCE = "The issuer sent a token that belongs to another login."
OTHER_AUDIENCE = "The issuer sent a token that was issued for another client, or by another issuer."
TOKEN_REFUSED = (
    "The registry does not accept the token from the issuer: the token does not match the registry's table "
    "[[security.jwt]], the issuer has just changed its keys, or access is denied to this person."
)
ISSUER_AWAY = (
    "The issuer does not answer, or its answer is invalid. The gateway's log gives the reason. Try again later."
)
BUSY = "Too many logins are in progress. Try again in a few seconds."
REGISTRY_AWAY = "The registry does not answer, or has not read the issuer's keys yet. Try again in a few seconds."
LOGGED_IN = "You are logged in"
NOT_LOGGED_IN = "You are not logged in"
CONTINUE = "Continue to System Status"
AGAIN = "Back to the login"


def refused_by_issuer(error: str) -> str:
    """Return the sentence for a login that the issuer refused. `error`: the error code that the issuer sent."""
    return f"The issuer refused the login: {error}."


def may_nothing(why: str) -> str:
    """Return the sentence for a person who is authenticated but may not use the dashboard. `why`: the right that is
    missing."""
    return (
        f"Your account is known, but {why}. An administrator can grant this role, or add a row to [security.jwt.roles]."
    )
