"""The I/O of the registry: reads and writes messages, waits, and stores data; `core` makes the decisions. Read in this
order.

- `loop`                                          the clock, the commands, and the writer thread.
- `store/`                                        the data on disk.
- `translate`, `agent_messages`                   conversions between the wire and the core.
- `answers`                                       answers of limited size, built in turns.
- `callers`, `method_roles`                       the rights of the caller; which roles may call each method.
- `grpc_heartbeat`                                the streams of agents.
- `grpc_observer`                                 TRON's stream and calls.
- `grpc_registry`, `grpc_listing`                 the other calls about services.
- `grpc_events`                                   the event log.
- `own_credential`                                how the registry, as an agent, authenticates to itself.
- `jwt_verification`                              verifies JSON Web Tokens on a thread of its own.
- `access`, `grpc_access`                         the principals, their grants and tokens.
- `audited_acts`                                  the methods that the audit log records.
- `grpc_health`                                   the answers of the standard health service.
- `metrics`                                       the metrics, and the source of each value.
- `watchdog`                                      reports that TRON is lost, and that it is back.
"""
