"""The agent's side of the heartbeat protocol: decisions without I/O, and the transport that carries them.

Read in this order.

- `messages`, `answers`  the messages to the registry, and those from it.
- `happened`          the outcomes that a session reports to the program.
- `report`            the values that an agent reports with each heartbeat.
- `reported_once`     what was reported already, so that each thing is reported once.
- `send_queue`        the next message of an agent, and when to send it.
- `registration`      the incarnation and the instance_id of an agent, and the next attempt to register.
- `session`           `AgentSession`, which makes every decision about one agent.
- `turns`             the order in which the agents of one stream send.
- `members`           the agent for which a message of a shared stream is meant.
- `shared_stream`     `SharedStream`, which makes the decisions about a stream and its agents.
- `handover`          the move of agents from one stream to the next.
- `codec`             the conversion of messages to protobuf.
- `stream_log`        the log lines of a stream.
- `hooks`             the calls of the program's callbacks.
- `agent_transport`   the part of an `Agent` that connects its session, its inbox, and its stream.
- `agent_channel`     the channel of a stream, which is renewed with its credential.
- `stream_move`       the preparation of the next stream before the present one ends.
- `thread_transport`  a `SharedStream` over gRPC: threads and a channel.
- `connection`        the choice of a stream for each agent, and the lock that guards the streams.

The simulation and the conformance transcripts (clients/conformance) run the same objects over other transports.
"""
