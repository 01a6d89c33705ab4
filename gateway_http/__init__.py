"""The gateway: the registry and TRON for clients that speak HTTP. A client like any other, without rules of its own.

Imports follow the data, from right to left (pyproject.toml holds it):

    server, runtime -> legacy | metrics | page | route_roles | v1 -> gateway -> upstream -> replica -> http, config

Read in this order:

- `replica/`     the copy that every answer is read from. Pure; each consumer has a cursor of its own.
- `upstream/`    gRPC: what keeps the replica current, and what changes something at the registry.
- `gateway`      what all requests are answered from, on all ports.
- `http/`        HTTP as all ports speak it: which requests are served, bodies, errors, event streams.
- `v1/`          the JSON API.
- `page/`        the dashboard, which reads /v1 only.
- `legacy/`      the four legacy contracts, one file a port.
- `metrics`      GET /metrics.
- `route_roles`  which roles may use each route, with authentication.
- `runtime`      makes a gateway and runs what keeps it current.
- `server`       binds the four ports and decides what each of them serves.
- `config`       the settings.
"""
