"""Detects whether gevent or eventlet has replaced the threads of this process; gRPC cannot work with such threads.

Without this check the whole process would freeze at the first stream. gevent works once gRPC is initialized for it;
eventlet never works.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def _by_gevent() -> bool:
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading") or monkey.is_module_patched("_thread"))


def _by_eventlet() -> bool:
    patcher: Any = sys.modules.get("eventlet.patcher")
    return patcher is not None and bool(patcher.is_monkey_patched("thread"))


_AT_IMPORT = _by_gevent()


def real_threads() -> bool:
    """Return whether the threads of this process are those of the operating system, and not those of gevent or
    eventlet."""
    return not (_by_gevent() or _by_eventlet())


def require_usable(*, aio: bool = False) -> None:
    """Raise RuntimeError, with instructions, if gRPC would freeze this process. With `aio`, check also whether grpc.aio
    can be used."""
    if _by_eventlet():
        raise RuntimeError(
            "eventlet has patched the threads of this process, and gRPC cannot work with eventlet: do not patch "
            "threads (eventlet.monkey_patch(thread=False)), or run the unchanged program under `tron run`"
        )
    if not _by_gevent():
        return
    if not _AT_IMPORT:
        raise RuntimeError(
            "gevent patched the threads of this process after tron_client was imported: call "
            "gevent.monkey.patch_all() before any other import, then grpc.experimental.gevent.init_gevent()"
        )
    if aio:
        raise RuntimeError("grpc.aio does not work in a process that gevent has patched: use RegistryClient")
    cygrpc: Any = importlib.import_module("grpc._cython.cygrpc")
    if not getattr(cygrpc, "g_gevent_activated", True):  # where that name is gone we cannot know
        raise RuntimeError(
            "gevent has patched the threads of this process, but gRPC is not prepared for that: call "
            "grpc.experimental.gevent.init_gevent() after gevent.monkey.patch_all(), before gRPC is used"
        )
