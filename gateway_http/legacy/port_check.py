"""Checks which ports of the legacy programs are open on this machine, and reads the health that programs report about
themselves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import httpx2

from grid_hosting.tls import client_context

REQUIRED = (
    6120, 6100, 6121, 6101, 6102, 6103, 6104, 6109, 6110,
    *range(6111, 6116), *range(6141, 6148), *range(6151, 6161), 11434,
)  # fmt: skip
OPTIONAL = (6130, 8050, 8051, 8052, 8053)

CONNECT_TIMEOUT = 0.5
SLOW_MS = 200
"""Milliseconds after which an open port counts as degraded."""

HEALTH_TIMEOUT = 2.0
MOST_HEALTH_BYTES = 64 << 10
KEPT_FOR = 1.0
"""Seconds for which one answer is shared by all requests, so that many pages do not check 37 ports each."""

WEIGHTS = {"ok": 1.0, "warning": 0.5, "error": 0.0}


async def check_port(port: int, *, optional: bool) -> dict[str, Any]:
    """Return whether one port of this machine accepts a connection, and after how many milliseconds. A closed port is
    `hibernated` if it is optional, and otherwise `down`."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else "connection refused"
        closed = "hibernated" if optional else "down"
        return {"status": closed, "latency_ms": None, "optional": optional, "error": why}
    latency = (time.perf_counter() - began) * 1000
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    status = "degraded" if latency > SLOW_MS else "up"
    return {"status": status, "latency_ms": round(latency, 2), "optional": optional}


def overall(ports: dict[str, dict[str, Any]], checks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the body of the answer to GET /api/system/status. The required ports make up 60 % of the overall health,
    and the checks 40 %."""
    up = {port for port, found in ports.items() if found["status"] in ("up", "degraded")}
    required = [port for port, found in ports.items() if not found["optional"]]
    required_up = sum(port in up for port in required)
    checked = sum(WEIGHTS[found["status"]] for found in checks.values()) / len(checks)
    issues = len(required) - required_up + sum(found["status"] != "ok" for found in checks.values())
    return {
        "status": "ok",
        "overall_health_percent": round(60 * required_up / len(required) + 40 * checked, 1),
        "issues_count": issues,
        "ports": ports,
        "ports_up": len(up),
        "ports_total": len(ports),
        "required_ports_up": required_up,
        "required_ports_total": len(required),
        "health_checks": checks,
    }


class SystemStatus:
    """The answer to GET /api/system/status, which is determined at most once a second, however many clients ask."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = asyncio.Lock()
        self._found: tuple[float, dict[str, Any]] | None = None

    async def read(self, *, registry_live: bool) -> dict[str, Any]:
        """Return the body of the answer, which is at most a second old. `registry_live`: whether the registry is
        reachable."""
        async with self._lock:
            if self._found is None or time.monotonic() - self._found[0] > KEPT_FOR:
                document = await self._look(registry_live)
                self._found = (time.monotonic(), document)
            return self._found[1]

    async def _look(self, registry_live: bool) -> dict[str, Any]:
        wanted = [(port, False) for port in REQUIRED] + [(port, True) for port in OPTIONAL]
        found = await asyncio.gather(*(check_port(port, optional=optional) for port, optional in wanted))
        ports = {str(port): result for (port, _), result in zip(wanted, found, strict=True)}
        return overall(ports, self._checks(ports, registry_live))

    def _checks(self, ports: dict[str, dict[str, Any]], registry_live: bool) -> dict[str, dict[str, Any]]:
        llm = ports["11434"]["status"] in ("up", "degraded")
        return {
            "git_status": _check("ok", "not checked: the gateway does not run in a git checkout"),
            "disk_space": _disk(self._data_dir),
            "database_connectivity": _check("ok", "the registry is reachable")
            if registry_live
            else _check("error", "the registry is unreachable"),
            "llm_availability": _check("ok", "port 11434 is open")
            if llm
            else _check("warning", "port 11434 is closed"),
            "python_environment": _check("ok", f"Python {sys.version.split()[0]}"),
            "config_validity": _check("ok", "the configuration was checked when the gateway started"),
        }


async def ask_health(port: int, *, tls: bool = False) -> dict[str, Any] | None:
    """Return the JSON object with which a program on this machine answers GET /health; None if it sends no such answer.
    `tls`: whether to use TLS, which the gateway's own ports may require."""
    scheme = "https" if tls else "http"
    try:
        verify = await asyncio.to_thread(client_context, os.environ) if tls else True
        async with (
            asyncio.timeout(HEALTH_TIMEOUT),
            httpx2.AsyncClient(timeout=HEALTH_TIMEOUT, trust_env=False, verify=verify) as client,
            client.stream("GET", f"{scheme}://127.0.0.1:{port}/health") as response,
        ):
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MOST_HEALTH_BYTES:
                    return None
            if not response.is_success:
                return None
            document = httpx2.Response(200, content=body).json()
    except (httpx2.HTTPError, OSError, TimeoutError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _disk(folder: Path) -> dict[str, Any]:
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    usage = shutil.disk_usage(existing)
    free = usage.free / usage.total
    status = "ok" if free > 0.1 else "warning" if free > 0.03 else "error"
    return _check(status, f"{free:.0%} free")


def _check(status: str, message: str) -> dict[str, Any]:
    return {"status": status, "message": message}
