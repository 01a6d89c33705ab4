"""HTTP as all four ports speak it, whatever they answer. Knows nothing of the registry.

- `admission`            around every port: which requests are served, and the headers for browsers.
- `authentication`       with authentication, around every application: needs a caller with the right role.
- `callers`, `sessions`  who sent a request, by its token or the cookie of a session; `sessions` is pure.
- `route_table`          finds what a route needs of its callers. Pure.
- `front`, `coding`      around every application: HEAD, slashes, compressed bodies, a prefix.
- `asgi`                 the short way for the few requests that come by the thousand.
- `prompt_requests`      connections on which no request comes are closed.
- `event_streams`        Server-Sent Events: how many, and how they end.
- `problems`             errors as statuses and bodies.
- `cors`                 for the ports that pages of other origins may read.
- `json_bounds`          what a JSON value from outside may be. Pure.
- `openapi`, `api_docs`  /openapi.json, /docs and /redoc.
"""
