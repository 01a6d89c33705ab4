"""What the fuzzer found, each as the shortest case that showed it: a name, the target, and
the case. `test_fuzz` runs them first."""

from __future__ import annotations

from tests.fuzz.cases import Case, Step
from tests.fuzz.file_targets import queue_file, registry_file
from tests.fuzz.http2_bytes import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    call_headers,
    frame,
    header_block,
)
from tests.fuzz.http_bytes import UPGRADE

_CALL = call_headers(b"/\xed\xa0\x80")
_NO_BODY = frame(DATA, END_STREAM, 1, b"")

FINDINGS: list[tuple[str, str, Case]] = [
    ("a method of gRPC health that is not implemented", "registry calls", (Step("/grpc.health.v1.Health/List", b""),)),
    (
        "a timestamp beyond the year 9999 from a registry",
        "sdk heartbeat",
        (Step("answer", b"\x12\x0f\n\rB\x0br\x09\x08\x80\x83\xd1\xff\xaf\x07"),),
    ),
    ("columns of different lengths in a frame", "tron frames", (Step("frame", b" \x10"),)),
    ("a liveness that TRON does not know", "tron frames", (Step("frame", b"\x1a\x05\n\x01a\xa0\x01\x63"),)),
    ("status details that are no message", "sdk models", (Step("status", b"\x8b"),)),
    ("status details of another status", "sdk models", (Step("status", b""),)),
    ("deep tables in a fleet file", "files", (Step("fleet.toml", b"{a=" * 2000),)),
    ("nested values in a fleet file", "files", (Step("fleet.toml", b"a=" + b"[" * 2000),)),
    ("a number of 5000 digits in a fleet file", "files", (Step("fleet.toml", b"a=" + b"9" * 5000),)),
    (
        "a date as a label in a fleet file",
        "files",
        (Step("fleet.toml", b'[[service]]\nservice_id="a"\nname="A"\nlabels={t=2020-01-01}'),),
    ),
    ("nested values in tron.toml", "files", (Step("tron.toml", b"a=" + b"[" * 2000),)),
    ("nested values in a manifest", "files", (Step("manifest.json", b"[" * 5000),)),
    (
        "an infinite size in a manifest",
        "files",
        (Step("manifest.json", b'{"format":1,"files":[{"path":"policy.json","size":1e999,"sha256":"","schema":0}]}'),),
    ),
    ("nested values in policy.json", "files", (Step("policy.json", b"[" * 5000),)),
    ("a switch that is text in policy.json", "files", (Step("policy.json", b'{"":{"deregister":""}}'),)),
    (
        "a switch that is a number in policy.json",
        "files",
        (Step("policy.json", b'{"":{"deregister":9223372036854775808}}'),),
    ),
    (
        "a count that the wire cannot say in tron.toml",
        "files",
        (Step("tron.toml", b"[monitor.policy]\nmisses_before_deregister=1000000000000"),),
    ),
    (
        "a name in the schema of registry.db that is not UTF-8",
        "files",
        (Step("registry.db", registry_file().replace(b"tableservices", b"tableserv\xdfces")),),
    ),
    (
        "a name in the schema of operator-queue.db that is not UTF-8",
        "files",
        (Step("operator-queue.db", queue_file().replace(b"tablerows", b"tabler\xdfws")),),
    ),
    ("nested values in a stored service", "files", (Step("registry rows", b"s" + b"[" * 5000),)),
    (
        "a stored event whose id is a list",
        "files",
        (
            Step(
                "registry rows",
                b'e{"type":"","sequence":1,"alert_id":[],"occurred_at":0,"severity":"INFO","service_id":"","service_name":'
                b'"","recipient":"","cause":"NONE","missed_beats":0,"last_seen_at":null,"action":"","message":"","details":{}}',
            ),
        ),
    ),
    (
        "a Socket.IO event that is no list, and one with the name of an event of the library",
        "gateway socket.io",
        (
            Step("events_http#0", b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            *(
                Step(
                    "events_http#0",
                    b"POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: localhost\r\n"
                    b"content-length: %d\r\n\r\n%s" % (len(packet), packet),
                )
                for packet in (
                    b"40",
                    b"42{}",
                    b"42[]",
                    b"4",
                    b'42["disconnect"]',
                    b'451-["ping"]',
                    b"9",
                    b"42" + b"[" * 3000,
                )
            ),
        ),
    ),
    (
        "a Socket.IO client that leaves before it is answered",
        "gateway socket.io",
        (
            Step(
                "events_http#0",
                b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: localhost\r\n"
                b"transfer-encoding: identity\r\n\r\n",
            ),
        ),
    ),
    (
        "a text of a WebSocket that is not UTF-8",
        "gateway socket.io",
        (Step("events_http#ws", UPGRADE), Step("events_http#ws", b"\x81\x84\x00\x00\x00\x00\xb40{}")),
    ),
    (
        "a packet of an unknown kind on a WebSocket",
        "gateway socket.io",
        (Step("events_http#ws", UPGRADE), Step("events_http#ws", b"\x81\x82\x00\x00\x00\x008m")),
    ),
    (
        "a message of reflection that is no message",
        "live",
        (Step("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"\xff"),),
    ),
    (
        "a call whose path is not UTF-8",
        "live",
        tuple(
            Step(
                program,
                PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, header_block(_CALL)) + _NO_BODY,
            )
            for program in ("registry", "tron")
        ),
    ),
]
