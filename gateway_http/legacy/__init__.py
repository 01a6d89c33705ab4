"""The HTTP contracts of the four legacy services.

- `registry`, `bodies`, `rows`                port 6121: the routes, the models of bodies, the format of services;
- `status_counts`                             how many services have which status;
- `plain_beats`, `declarations`               the parsing of heartbeats, the conversion of registrations.
- `tron`, `alerts`, `alert_file`              port 6109: the routes, the format of an alert, the alert files.
- `events`, `socket_io`                       port 6102: the routes, and Socket.IO beside them;
- `event_buffer`, `broadcasts`                the newest events, in the format that legacy dashboards expect.
- `hmi`, `hmi_views`                          port 6101: the routes, and the formats of their answers;
- `port_check`, `hhmrs_settings`              the check of ports, and the settings of HHMRS (restarts of agents).
"""
