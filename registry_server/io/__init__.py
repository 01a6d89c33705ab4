"""The shell of the registry: `loop` (the clock and the writer thread), `grpc_*` (one for each service or stream),
`translate` (between wire and domain), `store`, `watchdog`.
"""
