"""The four legacy contracts and nothing else.

- `registry`, `bodies`, `rows`                port 6121: the routes, what comes in, what goes out;
- `plain_beats`, `declarations`               the short way of heartbeats, registrations on the wire.
- `tron`, `alerts`, `alert_file`              port 6109: the routes, the shape of an alert, the same as files.
- `events`, `socket_io`                       port 6102: the routes, and Socket.IO beside them;
- `event_buffer`, `broadcasts`                the newest events, in the words of old dashboards.
- `hmi`, `hmi_views`                          port 6101: the routes, the shapes;
- `port_check`, `hhmrs_settings`              and what it shows beside services.
"""
