"""The registry: records who is registered, who is connected and what was heard. It has no thresholds.

`core` decides, and does no I/O; `io` moves bytes, waits and stores; `server` builds both and lets everyone go in
order. Read `core` first.
"""
