"""The data types that the registry, TRON, the gateway and the SDK share; each is defined once.

The members of an enum have the same numbers as in protobuf.

- `liveness`     the liveness of a service, and its cause.
- `service`      the type, role, reported status and maintenance of a service.
- `declaration`, `declaration_codec`  the data that a program declares at registration, and its conversion to protobuf.
- `event`        the events of the event log, their severity, and the recipient `operators`.
- `event_details`  reads the details of events, whatever a client has put there.
- `event_codec`  the conversion of events to protobuf.
- `event_types`  the table of the events that TRON issues.
- `observation`  the data that the registry sends to TRON: facts about services and copies of alerts, in frames.
- `verdict`      the data that TRON sends to the registry: verdicts, alerts without a verdict, preauthorized suspicions.
- `observer_codec`  the conversion of `observation` and `verdict` to protobuf and back.
- `policy`       what a child does when its parent is down, and where the value of a threshold comes from.
- `access`, `access_codec`  callers (principals) and their grants, and their conversion to protobuf.
- `errors`       the exceptions that servers raise, and that clients receive.
- `moments`      times as RFC 3339 text, in local time, and with seconds added.
- `round_robin`  a queue that serves several parties in turn.
- `wire`         the exact conversion of times, durations and JSON objects to protobuf.

This package imports only protobuf and the generated message classes, so that every program and the SDK can use it. A
contract test compares its enums with the proto files.
"""
