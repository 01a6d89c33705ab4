"""The dashboard. It reads its data from /v1.

- `dashboard/`    the files that a browser loads.
- `files`         these files in memory, and the headers that restrict what a browser may do with them.
- `routes`        the routes that serve these files.
- `session`       the login with a token.
- `oidc_login`    the login at an issuer (OpenID Connect): its routes, and the page that is shown after it.
- `oidc_flow`     the requests and the answers of the login at an issuer. Pure.
- `flow_cookies`  the cookies that store logins in progress.
- `oidc_issuer`   the requests to the issuer.
- `messages`      the sentences that people see during the login at an issuer.
"""
