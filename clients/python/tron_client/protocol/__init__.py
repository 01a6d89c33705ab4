"""The agent's side of the heartbeat protocol: decisions without I/O, and the transport that carries them.

Read in this order.

- `messages`          what goes up and down a stream.
- `happened`          what the program learns.
- `report`            what a heartbeat says about the agent.
- `send_queue`        what is sent next, and when.
- `registration`      as what the agent registers, and when again.
- `session`           `AgentSession`, which makes every decision about one agent.
- `turns`             the order in which the agents of one stream send.
- `members`           which of them a message is for.
- `shared_stream`     `SharedStream`, which decides for the stream that carries them.
- `codec`             to and from protobuf.
- `stream_log`        log lines.
- `hooks`             callbacks.
- `agent_transport`   what an `Agent` holds: its session, its inbox, and the stream that carries it.
- `thread_transport`  a `SharedStream` over gRPC: threads and a channel.
- `connection`        which stream carries which agent, and the lock that guards them.

The simulation and the conformance transcripts (clients/conformance) run the same objects over other transports.
"""
