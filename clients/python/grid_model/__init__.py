"""The words that registry, TRON, gateway and SDK share: one definition for each, with the numbers of the wire.

- `liveness`     what a service is judged, and why.
- `service`      what kind of thing a service is, what it may be used for, what it reports, and its maintenance.
- `declaration`, `declaration_codec`  what a program declares at its registration, and its way to protobuf and back.
- `event`        an event of the log, how much it matters, and the recipient that means the people in charge.
- `event_codec`  events to protobuf and back.
- `event_types`  the table of the events that TRON issues.
- `observation`  what the registry tells TRON: facts about services and copies of alerts, in frames.
- `verdict`      what TRON tells the registry: verdicts, alerts without one, suspicions in advance.
- `observer_codec`  both of these to protobuf and back.
- `policy`       what orphans should do, and where a threshold comes from.
- `errors`       what can go wrong: the exceptions that servers raise and clients get.
- `moments`      moments as text.
- `wire`         times, durations and JSON objects to protobuf and back, exactly.

It imports protobuf and the stubs, and nothing else, so that every program and the SDK can use it. A contract test
compares the enums with the proto files.
"""
