"""Many browsers in one process: `python -m benchmarks._readers URL COUNT`; answers lines on stdin.

Each reads GET /v1/stream on a connection of its own. A service whose message is `t=SECONDS` tells when it changed.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any
from urllib.parse import urlsplit

STAMP = re.compile(rb'"message":"t=([0-9.]+)"')


class Readers:
    """What all of them heard since they were last asked."""

    def __init__(self) -> None:
        self.open = 0
        self.loaded = 0
        self.bytes = 0
        self.late: list[float] = []

    def take(self) -> dict[str, Any]:
        """`late`: milliseconds from a change to its arrival, for each that was heard by each."""
        late, self.late = self.late, []
        return {"open": self.open, "loaded": self.loaded, "bytes": self.bytes, "late": late}

    async def read(self, url: str) -> None:
        """One browser, until the stream ends."""
        at = urlsplit(url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=1 << 22)
        writer.write(f"GET {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nAccept: text/event-stream\r\n\r\n".encode())
        self.open += 1
        loaded = False
        try:
            async for line in reader:
                self.bytes += len(line)
                if not line.startswith(b"data:"):
                    continue
                if not loaded and b'"complete":true' in line[:200]:
                    loaded = True
                    self.loaded += 1
                elif loaded:
                    now = time.time()
                    self.late += [(now - float(stamp)) * 1000 for stamp in STAMP.findall(line)]
        finally:
            self.open -= 1
            writer.close()


async def main() -> None:
    """Read until stdin ends."""
    url, count = sys.argv[1], int(sys.argv[2])
    readers = Readers()
    async with asyncio.TaskGroup() as tasks:
        reading = [tasks.create_task(readers.read(url)) for _ in range(count)]
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(readers.take()), flush=True)
        for each in reading:
            each.cancel()


if __name__ == "__main__":
    asyncio.run(main())
