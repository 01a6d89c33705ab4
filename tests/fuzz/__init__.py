"""Fuzzing: bytes that no client should send, at everything that takes bytes from outside.

Run it:

    make fuzz                                    all targets, 600 seconds in all; FUZZ_SECONDS sets another time
    python -m tests.fuzz --seconds 60 registry   one target
    python -m pytest tests/fuzz                  the short run of `make test`: fixed examples, about ten seconds

What it does. A *target* is one thing that takes bytes: the gRPC calls of the registry, its heartbeat streams, TRON, the
ports of the gateway, the SDK, the files of each program, and a whole running system. A *case* is a list of *steps*,
each a name and some bytes: one call, one message on a stream, one request, the content of one file. Hypothesis draws
the cases: valid messages with unusual fields on top, and then changed, cut and doubled bytes. A target runs the case
and checks what must hold whatever comes: no answer INTERNAL or UNKNOWN, no 500, no exception in any log or task, an
error that a program understands for a file, and a bystander, which is another agent on the same system, that notices
nothing.

In-process targets call the real handlers, applications and parsers without sockets, so that thousands of cases run in a
second. `live` sends raw bytes to the ports of real processes.

What it prints. For each target the number of cases and steps that were executed, and each finding once, with the
shortest case that still shows it. The last line is all of that as one JSON object. The exit code is 1 if there is a
finding.

What to do with a finding. Add the printed case to `findings.py`, find the cause and other places with the same
cause, and fix them.

Modules, in reading order:

- `cases`         steps, cases, and how a case is written down
- `mutation`      changed, cut and doubled bytes
- `messages`      serialized messages of any protobuf type, with unusual fields
- `http_bytes`    HTTP requests, WebSocket frames and Socket.IO packets
- `http2_bytes`   HTTP/2 frames that carry gRPC
- `alarms`        what was logged as an error, or was raised in a task that nobody waits for
- `targets`       what a target is, and what a finding is
- `doors`         the real gRPC handlers, called without a network
- `memory_transport`   a connection in memory for the HTTP server
- `registry_targets`, `tron_targets`, `gateway_targets`, `sdk_targets`, `file_targets`, `live_targets`
- `minimise`      the shortest case that still shows a finding
- `findings`      what was found before
- `campaign`      runs targets for a time; `__main__` is its command line
"""
