"""HTTP as all four ports speak it, whatever they answer. Knows nothing of the registry.

- `admission`            around every port: which requests are served, and the headers for browsers.
- `front`, `coding`      around every application: HEAD, slashes, compressed bodies, a prefix.
- `asgi`                 the short way for the few requests that come by the thousand.
- `prompt_requests`      connections on which no request comes are closed.
- `event_streams`        Server-Sent Events: how many, and how they end.
- `problems`             errors as statuses and bodies.
- `cors`                 for the ports that pages of any origin may read.
- `json_bounds`          what a JSON value from outside may be. Pure.
- `openapi`, `api_docs`  /openapi.json, /docs and /redoc.
"""
