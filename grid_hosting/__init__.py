"""What every server program of ours is hosted by. It knows no service and no rule; programs import it, it imports none.

- `program`, `start`                      how a program starts and stops: settings, logs, the ready file, its folders.
- `addresses`, `listening`, `dialing`     addresses that a program listens on, and those of other servers.
- `grpc_server`, `options`, `reflection`  the one place where a gRPC server is made, and what it is made with.
- `status`                                the gRPC codes of errors that a client can act on.
- `identity`                              our own programs as agents.
- `http_transport`                        how our HTTP clients connect.
- `watermark`, `turns`                    waking readers; long work in short turns.
- `pauses`, `collector`                   what kept the event loop from its work.
- `whole_file`, `data_files`              files that are replaced as a whole, and all files that the programs keep.
- `backup`, `manifest`                    copies of all state.
- `sinks/`                                how operators are notified.
- `telemetry/`                            how a program measures itself.
"""
