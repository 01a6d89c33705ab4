"""A check whose real thing is missing is skipped on a laptop and fails in CI; it never vanishes."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.conftest import pytest_runtest_setup


class NeedyItem:
    """A test that needs something."""

    def __init__(self, *what: str) -> None:
        self._mark = pytest.mark.needs(*what).mark

    def iter_markers(self, name: str) -> list[Any]:
        """Return its one mark."""
        return [self._mark] if name == "needs" else []


def set_up(*what: str) -> None:
    """Set up a test that needs `what`."""
    pytest_runtest_setup(cast("pytest.Item", NeedyItem(*what)))


def test_a_missing_thing_skips_the_test_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-thing is not installed"):
        set_up("no-such-thing")


def test_a_missing_thing_fails_the_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-thing is not installed"):
        set_up("no-such-thing")


def test_what_is_there_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    set_up("python", "ruff")
