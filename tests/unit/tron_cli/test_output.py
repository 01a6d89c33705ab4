"""What people see, and how words on the command line are read."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest
import typer
from tron_cli.connection import away, labels_from
from tron_cli.endings import Ending
from tron_cli.output import age, clock_time, liveness_markup

from tests.support.canned_registry import canned_registry
from tests.support.http_receiver import start_receiver
from tests.support.zones import HOURS, zone

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (7260, "2 h 1 min"),
        (90000, "1 d 1 h"),
        (-5, "0.0 s"),  # the registry's clock may be ahead of ours
    ],
)
def test_an_age_is_shown_in_at_most_two_units(seconds: float, shown: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == shown


@pytest.mark.parametrize("name", HOURS)
def test_a_time_at_the_edge_of_the_calendar_is_shown(name: str) -> None:
    with zone(name):
        for moment in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
            assert clock_time(moment)


def test_who_was_never_heard_has_no_age() -> None:
    assert age(None, NOW) == "never"


@pytest.mark.parametrize("liveness", ["ALIVE", "SUSPECT", "DOWN", "UNKNOWN"])
def test_liveness_is_a_symbol_and_a_word_not_a_colour_alone(liveness: str) -> None:
    symbols = {liveness_markup(each).partition("]")[2][0] for each in ("ALIVE", "SUSPECT", "DOWN", "UNKNOWN")}
    assert liveness in liveness_markup(liveness)
    assert len(symbols) == 4


def test_a_label_is_text_unless_it_says_json() -> None:
    assert labels_from(["version=1.10", "gpu:=true", "zones:=[1,2]", "note=a=b", "empty="]) == {
        "version": "1.10",
        "gpu": True,
        "zones": [1, 2],
        "note": "a=b",
        "empty": "",
    }


@pytest.mark.parametrize("word", ["nonsense", "=text", ":=1", "gpu:=yes"])
def test_a_label_that_can_not_be_read_is_a_usage_error(word: str) -> None:
    with pytest.raises(typer.BadParameter):
        labels_from([word])


def test_a_registry_that_is_away_and_one_that_is_slow_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stopped = f"127.0.0.1:{server.getsockname()[1]}"
        assert away(stopped) == f"the registry at {stopped} did not answer in time; is it overloaded or stopped?"
    assert away(stopped) == f"no registry is running at {stopped}; start one with: tron up"
    with canned_registry() as registry:
        assert "did not answer in time" in away(registry.address, "Deadline Exceeded")


def test_what_answers_in_place_of_a_registry_is_said() -> None:
    with start_receiver() as there:
        address = there.url.removeprefix("http://").partition("/")[0]
        said = away(address)
    assert said.startswith(f"no registry is running at {address}: an HTTP server answers at {address}, not gRPC")
    assert away("no-such-host.invalid:6122").startswith("no registry is running at no-such-host.invalid:6122: ")
    assert "tron up" not in said


@pytest.mark.parametrize(
    ("returncode", "ending", "severity", "words"),
    [
        (0, Ending(0, None), "INFO", "exited with code 0"),
        (3, Ending(3, None), "CRITICAL", "exited with code 3"),
        (-15, Ending(143, "SIGTERM"), "CRITICAL", "ended by SIGTERM"),
        (-40, Ending(168, "SIG40"), "CRITICAL", "ended by SIG40"),
    ],
)
def test_an_ending_is_what_a_shell_would_say(returncode: int, ending: Ending, severity: str, words: str) -> None:
    read = Ending.of(returncode)
    assert (read, read.severity, read.describe()) == (ending, severity, words)
