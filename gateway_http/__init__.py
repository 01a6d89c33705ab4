"""Makes the registry and TRON available over HTTP. The gateway is an ordinary client of both and has no rules of its
own.

The modules form layers. A layer may import only from the layers to the right of it. pyproject.toml lists the layers,
and a test checks the imports:

    server, runtime -> legacy | metrics | page | route_roles | v1 -> gateway -> upstream -> replica -> http, config

Read in this order:

- `replica/`     the copy from which every answer is read. Pure; each consumer has its own cursor.
- `upstream/`    the gRPC calls that keep the replica current, and those that change data at the registry.
- `gateway`      the objects from which all ports answer requests.
- `http/`        the parts of HTTP that all ports share: admission, bodies, errors, event streams.
- `v1/`          the JSON API.
- `page/`        the dashboard, which reads /v1 only.
- `legacy/`      the contracts of the four legacy services.
- `metrics`      GET /metrics.
- `route_roles`  which roles may use each route if authentication is on.
- `runtime`      creates a gateway and runs the tasks that keep it current.
- `server`       binds the four ports and decides what each of them serves.
- `config`       the settings.
"""
