"""The parts that all server programs share. It has no rule about services; programs import it, and it imports none.

- `program`, `start`                      how a program starts and stops: settings, logs, the ready file, its folders.
- `addresses`, `listening`, `dialing`     addresses that a program listens on, and those of other servers.
- `security`, `transport_security`        settings of transport security; which addresses a program may listen on.
- `variables`                             variables of the environment that look like settings and are none.
- `jwt_settings`, `issuer_http`           the issuers of JSON Web Tokens, and requests to them.
- `certificates`, `tls_files`, `tls`      decide whether a certificate can be used; files; TLS of all ports.
- `http_hosts`, `http_rules`              which requests an HTTP port serves.
- `grpc_server`, `options`, `reflection`  the one place that creates a gRPC server, and its options.
- `health`                                the standard health service of gRPC.
- `authentication`, `credential`          the one interceptor that authenticates callers; reads their credentials.
- `own_credential`                        how a program authenticates to the other programs.
- `access/`                               principals, grants and tokens, and their file.
- `auditing`                              records acts and refusals for the audit log.
- `open_calls`, `open_call_checks`        the callers of open calls; ends calls whose credential has ended.
- `uninterrupted`                         work that goes on although the call that began it is cancelled.
- `drain_time`                            when the client of a stream is asked for the next one.
- `handlers`                              what all interceptors of gRPC servers have in common.
- `status`                                the gRPC codes of errors that a client can act on.
- `identity`                              the programs of the system as agents.
- `http_transport`                        how HTTP clients connect.
- `watermark`, `turns`                    waking readers; long work in short turns.
- `wakeups`                               how the event loop learns of finished operations of gRPC.
- `pauses`, `collector`                   pauses of the event loop, and their causes.
- `whole_file`, `data_files`              files that are replaced as a whole; all files that the programs keep.
- `backup`, `manifest`                    copies of all state.
- `sinks/`                                how operators are notified.
- `telemetry/`                            the metrics of a program.
"""
