"""What all tests share: `needs(...)`, which never lets a check vanish unnoticed, and a Ctrl-C that programs hear."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.binaries import find_binary


def pytest_configure() -> None:
    """Hear SIGINT also where the shell that started us in the background ignores it: what we start inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
