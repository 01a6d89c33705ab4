"""HTTP requests as bytes, WebSocket frames, and packets of Socket.IO."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from hypothesis import strategies as st

from tests.fuzz.mutation import changed, sometimes_changed

TEXTS = (
    "a",
    "b",
    "worker 1",
    "PAS Root",
    "operators",
    "",
    " ",
    "a/b",
    "%2F",
    "..%2f..",
    "%00",
    "%ff",
    "ä",
    "\u202e",
    "x" * 600,
    "{}",
    "1",
)
VALUES = (
    '"a"',
    '"b"',
    '"worker 1"',
    '""',
    '"\\ud800"',
    '"\\u0000"',
    '"' + "x" * 2100 + '"',
    "null",
    "true",
    "0",
    "1",
    "-1",
    "0.5",
    "60",
    "1e400",
    "NaN",
    "-Infinity",
    "9007199254740993",
    "9223372036854775808",
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "[]",
    "{}",
    "[[]]",
    '["a"]',
    '{"parent":"a"}',
    "[" * 40 + "]" * 40,
    "[" * 3000 + "]" * 3000,
    '{"a":' * 20 + "1" + "}" * 20,
    '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-12:00"',
    '"production"',
    '"agent"',
    '"ok"',
    '"service_down"',
)
"""JSON values, as they are written."""

HEADERS = (
    b"host: localhost",
    b"host: evil.example",
    b"origin: null",
    b"origin: http://evil.example",
    b"sec-fetch-site: cross-site",
    b"content-type: application/json",
    b"content-type: application/json; charset=utf-16",
    b"content-type: text/plain",
    b"content-type: application/json; charset=\xff",
    b"content-type: application/json; charset=base64",
    b"content-type: application/x-www-form-urlencoded",
    b"content-type: multipart/form-data; boundary=x",
    b"content-type: application/json; charset=latin-1",
    b"content-encoding: gzip",
    b"content-encoding: deflate",
    b"content-encoding: br",
    b"content-encoding: gzip, gzip",
    b"transfer-encoding: chunked",
    b"transfer-encoding: identity",
    b"content-length: 0",
    b"content-length: 5",
    b"content-length: -1",
    b"content-length: 99999999999999999999",
    b"expect: 100-continue",
    b"connection: close",
    b"connection: upgrade",
    b"upgrade: websocket",
    b"upgrade: h2c",
    b"last-event-id: 1",
    b"last-event-id: 999999999999999999",
    b"last-event-id: \xb2",
    b"last-event-id: a.1.2.3",
    b"if-none-match: *",
    b"range: bytes=0-",
    b"accept: \xff",
    b"cookie: a=b; c",
    b"cookie: tron-session=x; tron-session=\xff; =;;",
    b"authorization: bearer reader",
    b"authorization: Bearer reader, Bearer reader",
    b"authorization: Bearer tron_x",
    b"authorization: Basic \xff",
    b"forwarded: for=1",
    b"x-forwarded-for: ::1",
    b"x-http-method-override: DELETE",
    b"access-control-request-method: PUT",
    b"access-control-request-headers: x\ty",
    b"x: " + b"y" * 9000,
    b"\xff: 1",
    b": x",
    b"nocolon",
)
METHODS = (
    b"GET",
    b"POST",
    b"PUT",
    b"DELETE",
    b"HEAD",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"CONNECT",
    b"get",
    b"PRI",
    b"M-SEARCH",
)


def requests(routes: Mapping[str, Sequence[str]], bodies: Mapping[str, Mapping[str, str]]) -> st.SearchStrategy[bytes]:
    """Return requests. `routes`: the paths of each method, with `{}` for a text, and with a query; `bodies`: for each
    path, the fields of its body, with values as JSON."""
    usual = st.sampled_from([(method, path) for method, paths in routes.items() for path in paths])
    request = usual.flatmap(lambda route: _request(route[0].encode(), route[1], bodies.get(route[1], {})))
    strange = st.builds(
        lambda method, target, headers: method + b" " + target + b" HTTP/1.1\r\n" + _block(headers) + b"\r\n",
        st.sampled_from(METHODS),
        sometimes_changed(usual.map(lambda route: route[1].replace("{}", "a").encode())) | st.binary(max_size=20),
        _headers,
    )
    return request | request | request | changed(request) | strange


_texts = st.sampled_from([quote(text, safe="%") for text in TEXTS]) | st.binary(max_size=6).map(quote)
_headers = st.lists(st.sampled_from(HEADERS), max_size=4)


def _request(method: bytes, path: str, fields: Mapping[str, str]) -> st.SearchStrategy[bytes]:
    target = (
        st.just(path)
        if "{}" not in path
        else st.lists(_texts, min_size=path.count("{}"), max_size=path.count("{}")).map(
            lambda words: path.format(*words)
        )
    )
    if not fields:
        return st.builds(lambda where, headers: _written(method, where, headers, b"", b"plain"), target, _headers)
    body = sometimes_changed(_objects(fields))
    forms = st.sampled_from([b"plain", b"plain", b"plain", b"gzip", b"deflate", b"chunked", b"cut"])
    return st.builds(lambda *parts: _written(method, *parts), target, _headers, body, forms)


def _objects(fields: Mapping[str, str]) -> st.SearchStrategy[bytes]:
    names = st.sampled_from([*fields, "unknown", "__proto__", "parent"])
    odd = st.dictionaries(names, st.sampled_from(VALUES), max_size=3)
    whole = st.builds(lambda other: _object({**fields, **other}), odd)
    return whole | whole | odd.map(_object) | st.sampled_from([value.encode() for value in VALUES])


def _object(fields: Mapping[str, str]) -> bytes:
    return ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}").encode()


def _written(method: bytes, target: str, headers: Sequence[bytes], body: bytes, form: bytes) -> bytes:
    head = [b"host: localhost", *headers]
    if body and not any(header.startswith(b"content-type") for header in headers):
        head.append(b"content-type: application/json")
    if form == b"gzip":
        body = gzip.compress(body)
        head.append(b"content-encoding: gzip")
    elif form == b"deflate":
        body = zlib.compress(body)
        head.append(b"content-encoding: deflate")
    if form == b"chunked":
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        head.append(b"transfer-encoding: chunked")
    elif body or method in (b"POST", b"PUT"):
        head.append(b"content-length: %d" % (len(body) + (form == b"cut")))
    return method + b" " + target.encode() + b" HTTP/1.1\r\n" + _block(head) + b"\r\n" + body


def _block(headers: Sequence[bytes]) -> bytes:
    return b"".join(header + b"\r\n" for header in headers)


UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: localhost\r\n"
    b"connection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PACKETS = (
    b"40",
    b"40{}",
    b"41",
    b"2",
    b"3",
    b"2probe",
    b"5",
    b'42["ping"]',
    b'42["request_history"]',
    b'420["ping",1]',
    b'42/x,["ping"]',
    b'42["ping",' + b"[" * 3000 + b"]" * 3000 + b"]",
    b'451-["ping",{"_placeholder":true,"num":0}]',
    b'459999999-["ping"]',
    b"42[",
    b"42{}",
    b"42[]",
    b"42[1]",
    b'42["__proto__"]',
    b'42["connect"]',
    b'42["disconnect"]',
    b"4",
    b"",
    b"1",
    b"6",
    b"9",
    b"bAAAA",
    b"b\xff",
    b"43",
    b'430["x"]',
    b"44",
    b'42["ping",' + b"1" * 5000 + b"]",
    b"40/a,{",
    b"4" + b"0" * 70_000,
    b"40" + b"{" * 100,
)
SEPARATOR = b"\x1e"


def polls(path: str = "/socket.io/") -> st.SearchStrategy[bytes]:
    """Return requests of Socket.IO clients that poll; `{sid}` is replaced by a session that exists."""
    queries = st.sampled_from(
        [
            "EIO=4&transport=polling",
            "EIO=4&transport=polling&sid={sid}",
            "EIO=3&transport=polling",
            "transport=websocket&sid={sid}",
            "EIO=4&transport=polling&sid=x",
            "sid={sid}",
            "EIO=4&transport=polling&sid={sid}&j=1",
            "EIO=&transport=",
            "sid=%ff",
            "%",
        ]
    )
    payload = st.lists(sometimes_changed(st.sampled_from(PACKETS)), min_size=1, max_size=3).map(SEPARATOR.join)
    reading = st.builds(
        lambda query, headers: _written(b"GET", f"{path}?{query}", headers, b"", b"plain"), queries, _headers
    )
    writing = st.builds(
        lambda query, body: _written(b"POST", f"{path}?{query}", [b"content-type: text/plain"], body, b"plain"),
        queries,
        payload,
    )
    other = st.sampled_from([b"PUT", b"DELETE", b"OPTIONS", b"HEAD"])
    odd = st.builds(lambda method, query: _written(method, f"{path}?{query}", [], b"", b"plain"), other, queries)
    return reading | writing | writing | odd


def frames() -> st.SearchStrategy[bytes]:
    """Return WebSocket frames of a client, with packets of Socket.IO in them."""
    content = sometimes_changed(st.sampled_from(PACKETS))
    opcodes = st.sampled_from([1, 1, 1, 2, 0, 8, 9, 10, 3, 15])
    frame = st.builds(_frame, opcodes, content, st.booleans(), st.sampled_from([0, 0, 0, 0x40, 0x70]))
    return sometimes_changed(frame)


def _frame(opcode: int, content: bytes, whole: bool, reserved: int) -> bytes:
    head = bytes([(0x80 if whole else 0) | reserved | opcode])
    size = len(content)
    length = (
        bytes([0x80 | size])
        if size < 126
        else struct.pack("!BH", 0xFE, size)
        if size < 1 << 16
        else struct.pack("!BQ", 0xFF, size)
    )
    return head + length + b"\x00\x00\x00\x00" + content
