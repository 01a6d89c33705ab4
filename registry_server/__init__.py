"""The registry: records which services are registered and connected, and when each was last heard.

It applies no thresholds; TRON decides which services have failed.

- `core/`   the decisions, without I/O. Read it first.
- `io/`     the event loop, the writer thread, the disk, and gRPC.
- `server`  builds both, starts them, and stops them in order.
- `config`  the settings.
"""
