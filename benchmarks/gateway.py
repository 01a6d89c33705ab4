"""GET /services with a thousand rows, and single heartbeats by PUT, beside a minimal FastAPI app that answers the same
bytes from memory. Both serve on the same uvicorn settings; one load client asks them in turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks._report import Figure, arguments, conclude, table
from tests.support.face import start_face

SERVICES = 1000
SECONDS = 4.0
ROUNDS = 3
GOAL = 0.6

MINIMAL = """
import sys, socket, uvicorn, uvloop, asyncio
from fastapi import FastAPI, Request, Response
body = open(sys.argv[1], "rb").read()
app = FastAPI()

@app.get("/services")
async def services():
    return Response(body, media_type="application/json")

@app.put("/heartbeat")
async def heartbeat(request: Request):
    await request.body()
    return Response(b'{"success":true,"ts":"2025-11-14T18:49:49.022434"}', media_type="application/json")

listening = socket.socket(); listening.bind(("127.0.0.1", 0)); listening.listen(1024)
print(listening.getsockname()[1], flush=True)
config = uvicorn.Config(app, http="httptools", loop="none", lifespan="off", log_config=None, access_log=False)
uvloop.run(uvicorn.Server(config).serve(sockets=[listening]))
"""


@dataclass(frozen=True)
class Result:
    """One measurement; latencies in milliseconds."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float


class _Connection(asyncio.Protocol):
    """Sends the same request again as soon as it was answered."""

    def __init__(self, request: bytes, latencies: list[float], until: float, done: asyncio.Future[None]) -> None:
        self._request, self._latencies, self._until, self._done = request, latencies, until, done
        self._left = 0
        self._head = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        else:
            self._head += data
            head, found, rest = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 200"), head
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            self._left = int(length.split(b":")[1]) - len(rest)
            self._head = b""
        if self._left == 0:
            now = time.perf_counter()
            self._latencies.append(now - self._sent)
            if now < self._until:
                self._ask()
            else:
                self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


async def load(port: int, requests: list[bytes], seconds: float) -> Result:
    """A closed loop on one connection for each of the requests."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    began = time.perf_counter()
    waits: list[asyncio.Future[None]] = []
    for request in requests:
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        make = functools.partial(_Connection, request, latencies, began + seconds, done)
        await loop.create_connection(make, "127.0.0.1", port)
    await asyncio.gather(*waits)
    took = time.perf_counter() - began
    ordered = sorted(latencies)
    return Result(
        round(len(ordered) / took, 1),
        round(1000 * statistics.median(ordered), 3),
        round(1000 * ordered[int(len(ordered) * 0.99) - 1], 3),
    )


def request(method: str, path: str, body: bytes = b"") -> bytes:
    """The bytes of one request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


@contextlib.contextmanager
def minimal(body: bytes, folder: Path) -> Iterator[int]:
    """The app to compare with; yields its port."""
    (folder / "body").write_bytes(body)
    process = subprocess.Popen(
        [sys.executable, "-c", MINIMAL, str(folder / "body")], stdout=subprocess.PIPE, env=os.environ, text=True
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def main() -> None:
    """Measure, print a table, write JSON."""
    options = arguments(__doc__)
    options.add_argument("--seconds", type=float, default=SECONDS, help="how long each measurement takes")
    chosen = options.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name, start_face(Path(name)) as face:
        for number in range(SERVICES):
            face.register(f"service-{number:04}", heartbeat_interval_s=3600, labels={"tier": "5", "port": number})
        body = face.rest.get("/services").content
        ours = int(face.gateway.ready["registry_http"].rpartition(":")[2])
        beats = [json.dumps({"service_id": f"service-{n:04}", "status": "ok"}).encode() for n in range(SERVICES)]
        with minimal(body, Path(name)) as theirs:
            httpx.get(f"http://127.0.0.1:{theirs}/services", trust_env=False).raise_for_status()
            for what, connections in (("GET /services", 16), ("PUT /heartbeat", 64), ("PUT /heartbeat", 16)):
                if what.startswith("GET"):
                    asked = [request("GET", "/services")] * connections
                else:
                    asked = [request("PUT", "/heartbeat", beats[n]) for n in range(connections)]
                results: dict[str, list[Result]] = {"gateway": [], "minimal": []}
                for _ in range(ROUNDS):
                    for who, port in (("gateway", ours), ("minimal", theirs)):
                        results[who].append(asyncio.run(load(port, asked, chosen.seconds)))
                best = {who: max(each, key=lambda one: one.requests_per_second) for who, each in results.items()}
                ratios = [
                    a.requests_per_second / b.requests_per_second
                    for a, b in zip(results["gateway"], results["minimal"], strict=True)
                ]
                rows.append(
                    {
                        "what": what,
                        "connections": connections,
                        "bytes": len(body) if what.startswith("GET") else 50,
                        "gateway": asdict(best["gateway"]),
                        "minimal": asdict(best["minimal"]),
                        "ratio_median": round(statistics.median(ratios), 3),
                    }
                )
    shown = {
        f"{row['what']}, {row['connections']} connections": {
            **{f"{who} {name}": value for who in ("gateway", "minimal") for name, value in row[who].items()},
            "ratio": row["ratio_median"],
        }
        for row in rows
    }
    table("The gateway beside a minimal FastAPI app that answers the same bytes", shown)
    figures = [
        Figure(
            f"gateway: {name}, best round",
            each["gateway requests_per_second"],
            "requests/s",
            "minimal FastAPI app",
            each["minimal requests_per_second"],
            goal=GOAL,
            paired=each["ratio"],
        )
        for name, each in shown.items()
    ]
    result = {"services": SERVICES, "rounds": ROUNDS, "seconds": chosen.seconds, "results": rows}
    conclude("gateway", chosen.out, figures, result)


if __name__ == "__main__":
    main()
