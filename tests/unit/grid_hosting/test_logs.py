"""Every line that a program logs has one form, whichever library says it, and lines of two threads do not mix."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from grid_hosting.program import ProgramConfig, set_up_logs


class Writes(io.StringIO):
    """What is written to standard error, one entry for each write."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def write(self, text: str) -> int:
        self.texts.append(text)
        return len(text)


@contextmanager
def logs(*, log_json: bool) -> Iterator[list[str]]:
    """The logs of a program, in place of the ones of the test runner."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    level = root.level
    configured = structlog.get_config()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", writes := Writes())
            set_up_logs(ProgramConfig(log_json=log_json))
            yield writes.texts
    finally:
        root.handlers = before
        root.setLevel(level)
        structlog.configure(**configured)


def test_lines_of_the_client_library_are_json_lines_too() -> None:
    with logs(log_json=True) as written:
        logging.getLogger("tron_client").warning("cut_off service_id=%s limit=%.1f", "worker", 10.0)
        structlog.get_logger().info("loop_paused", seconds=8)
    theirs, ours = (json.loads(line) for line in written)
    assert theirs.pop("timestamp").endswith("Z")
    assert theirs == {"event": "cut_off service_id=worker limit=10.0", "level": "warning", "logger": "tron_client"}
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {"event": "loop_paused", "seconds": 8, "level": "info"}


def test_a_line_is_written_at_once_with_its_end() -> None:
    def log_often(name: str) -> None:
        for number in range(50):
            structlog.get_logger().info("ours", name=name, number=number)
            logging.getLogger("grpc").error("theirs %s %d", name, number)

    with logs(log_json=True) as written:
        threads = [threading.Thread(target=log_often, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(written) == 200
    assert all(text.endswith("}\n") and text.count("\n") == 1 for text in written)


def test_an_error_of_a_library_carries_its_traceback() -> None:
    with logs(log_json=True) as written:
        try:
            raise ValueError("bad")
        except ValueError:
            logging.getLogger("asyncio").exception("task failed")
    (line,) = map(json.loads, written)
    assert line["exception"][0]["exc_type"] == "ValueError"


def test_lines_for_people_have_one_form() -> None:
    with logs(log_json=False) as written:
        logging.getLogger("tron_client").warning("cut_off service_id=worker")
    (line,) = written
    assert "[warning" in line
    assert "cut_off service_id=worker" in line
    assert "tron_client" in line
