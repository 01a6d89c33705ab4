"""The dashboard. What it shows comes from /v1.

- `dashboard/`    what a browser loads.
- `files`         those files in memory, and what a browser may do with them.
- `routes`        their addresses.
- `session`       the login with a token, with authentication.
- `oidc_login`    the login at an issuer (OpenID Connect): its routes, and the page after the issuer.
- `oidc_flow`     what such a login sends and accepts. Pure.
- `flow_cookies`  the cookies that carry such logins.
- `oidc_issuer`   the requests to the issuer.
- `messages`      the sentences of that login.
"""
