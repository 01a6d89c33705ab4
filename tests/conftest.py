"""What all tests share: `needs(...)`, which never lets a check vanish unnoticed, and a Ctrl-C that programs hear."""

from __future__ import annotations

import os
import signal

import pytest
import structlog
from hypothesis import settings

from tests.support.binaries import find_binary


def pytest_configure() -> None:
    """Leave the proxies of the machine behind: tests talk to loopback, by clients of others too (httpx, browsers).

    Handle SIGINT, SIGQUIT and SIGHUP also if the shell or `nohup` that started us ignores them: our children
    would ignore them too."""
    # How long an example takes says more about the machine than about the code.
    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
    # Tracebacks with frames and values, the default, take a busy machine seconds each.
    structlog.configure(
        [
            *structlog.get_config()["processors"][:-1],
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    )
    for name in ("grpc_proxy", "http_proxy", "https_proxy", "all_proxy"):
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose real thing is missing, loudly; under CI=true that is a failure."""
    for marker in item.iter_markers("needs"):
        for what in marker.args:
            if find_binary(what) is not None:
                continue
            reason = f"{what} is not installed; run `make setup`"
            if os.environ.get("CI", "").lower() == "true":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)
