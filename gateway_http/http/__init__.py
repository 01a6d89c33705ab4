"""The parts of HTTP that all four ports share. They do not depend on the registry.

- `admission`            around every port: checks the HTTP rules (`grid_hosting.http_rules`), adds browser headers.
- `authentication`       around every application, if authentication is on: serves callers with a required role.
- `callers`, `sessions`  identify the caller of a request by its token or session cookie; `sessions` is pure.
- `route_table`          the roles that each route requires of its callers. Pure.
- `front`, `coding`      around every application: HEAD, extra slashes, compressed bodies, a path prefix.
- `asgi`                 helpers to answer the few kinds of very frequent requests without FastAPI.
- `prompt_requests`      closes connections on which no complete request arrives in time, or too much arrives.
- `prompt_websockets`    closes connections of WebSockets whose handshake is not answered.
- `event_streams`        Server-Sent Events: their maximum number, and how they end.
- `problems`             converts errors to HTTP statuses and bodies.
- `cors`                 lets pages of other origins read a port.
- `json_bounds`          limits for JSON values that clients send. Pure.
- `openapi`, `api_docs`  the documents /openapi.json, /docs and /redoc.
"""
