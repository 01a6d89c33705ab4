"""The agent's side of the heartbeat protocol: decisions without I/O, and the transport that carries them.

Read in this order.

- `messages`          what goes up and down a stream.
- `happened`          what the program learns.
- `report`            what a heartbeat says about the agent.
- `send_queue`        what is sent next, and when.
- `session`           `AgentSession`, which makes every decision about one agent.
- `turns`             the order in which the agents of one stream send.
- `members`           which of them a message is for.
- `shared_stream`     `SharedStream`, which decides for the stream that carries them.
- `codec`             to and from protobuf.
- `thread_transport`  gRPC, threads, a lock.
- `stream_log`        log lines.
- `hooks`             callbacks.

The simulation and the conformance transcripts (clients/conformance) run the same objects over other transports.
"""
