"""The agent's side of the heartbeat protocol: decisions without I/O, and the transport that carries them.

Read in this order: messages.py (what goes up and down a stream), happened.py (what the program learns), report.py (what
a beat says about the agent), send_queue.py (what is sent next, and when), session.py (`AgentSession`, which makes every
decision about one agent), turns.py (the order in which agents of one stream send), members.py (which of them a message
is for), shared_stream.py (`SharedStream`, which decides for the stream that carries them), codec.py (to and from
protobuf), thread_transport.py (gRPC, threads, a lock), stream_log.py (log lines), and hooks.py (callbacks).

The simulation and the conformance transcripts (clients/conformance) run the same objects over other transports.
"""
