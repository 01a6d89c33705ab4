"""The gRPC calls to the registry and to TRON: those that keep the replica current, and those that change data.

- `services_feed`, `events_feed`  one watch and one subscription, which fill the replica.
- `frame_pacer`                   decides when the replica makes a frame.
- `tron_status`                   polls TRON's own status once a second.
- `watch_recorder`                records the periods in which the services were not watched.
- `registry_writes`               writes to the registry that return the revision of the change.
- `caller_credentials`            makes calls in the name of the client that caused them.
- `beat_batch`                    builds one message of heartbeats.
- `beat_relay`                    sends the heartbeats of many REST clients on one stream.
- `actions`                       changes data; the replica shows each change before the client is answered.
"""
