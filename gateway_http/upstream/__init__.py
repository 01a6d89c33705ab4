"""gRPC to the registry and to TRON: what keeps the replica current, and what changes something.

- `services_feed`, `events_feed`  one watch and one subscription, which fill the replica.
- `frame_pacer`                   when the replica makes a frame.
- `tron_status`                   TRON's own status, polled once a second.
- `watch_recorder`                records when the services were not watched.
- `registry_writes`               writes that answer with their revision.
- `caller_credentials`            calls in the name of the client that caused them.
- `beat_batch`                    one message of heartbeats.
- `beat_relay`                    heartbeats of many REST clients on one stream.
- `actions`                       a write, and its effect in the replica before it is answered.
"""
