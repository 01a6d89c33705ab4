"""Replays scenarios/*.txt. Each line is a moment, what happens then, and all that is judged since the line before.

    at 4s   beat a    -> a alive

The clock ticks ten times a second. What happens: `register a interval=1s` (beats only by `beat`), `start a interval=1s`
(beats on its own), `beat a`, `pause a` (an open stream, no beats), `resume a`, `break a` (the stream), `return a`
(re-attaches), `kill a` (for good), `stall 60s` and `restart` (of the registry), and `tick` (nothing). A line
`policy NAME=VALUE ...` sets thresholds. What is judged: alive, suspect, down (with the cause) and removed, in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.world import World
from tron.facts import Kind, Transition
from tron.policy import Policy

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))

LINE = re.compile(r"at (?P<at>[\d.]+)s\s+(?P<act>\w+)(?P<words>(?:\s+[\w=.]+)*?)\s*(?:->\s*(?P<judged>.*))?")

WORDS = {
    Kind.MISS: "suspect",
    Kind.SUSPECT: "suspect",
    Kind.DOWN: "down",
    Kind.DEREGISTER: "removed",
    Kind.RECOVER: "alive",
    Kind.RESTORE: "alive",
}


def told(transition: Transition) -> str:
    """A transition in the words of a scenario."""
    words = [transition.service_id, WORDS[transition.kind]]
    if words[1] in ("suspect", "down"):
        words.append(transition.cause.name.lower())
    return " ".join(words)


def seconds(text: str) -> float:
    """`1.5s` as 1.5."""
    return float(text.removesuffix("s"))


def act(world: World, what: str, words: list[str]) -> None:
    """Let something happen."""
    options = dict(word.split("=") for word in words if "=" in word)
    if what in ("register", "start"):
        world.register(words[0], seconds(options["interval"]), beats=what == "start")
        return
    if what == "stall":
        world.stall(seconds(words[0]))
        return
    if what in ("restart", "tick"):
        if what == "restart":
            world.restart()
        return
    agent = world.agents[words[0]]
    acts: dict[str, Callable[[], None]] = {
        "beat": lambda: world.beat(agent),
        "pause": lambda: setattr(agent, "beats", False),
        "resume": lambda: setattr(agent, "beats", True),
        "break": lambda: world.break_stream(agent),
        "return": lambda: world.re_attach(agent),
        "kill": lambda: world.kill(agent),
    }
    acts[what]()


def replay(text: str) -> list[str]:
    """Play a scenario; return its lines with what was really judged."""
    thresholds: dict[str, Any] = {}
    world: World | None = None
    played: list[str] = []
    for line in text.splitlines():
        code = line.partition("#")[0].rstrip()
        if not code:
            continue
        if code.startswith("policy "):
            thresholds |= {name: seconds(value) for name, value in (word.split("=") for word in code.split()[1:])}
            continue
        match = LINE.fullmatch(code)
        assert match is not None, f"not a line of a scenario: {line!r}"
        world = world or World(Policy(**thresholds))
        while world.now < float(match["at"]) - 1e-9:
            world.step()
        act(world, match["act"], match["words"].split())
        world.look()
        judged, world.judged = world.judged, []
        really = ", ".join(told(transition) for _, transition in judged)
        before = code.partition("->")[0].rstrip()
        played.append(f"{before} -> {really}" if really else before)
    return played


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_ends_as_it_is_told(scenario: Path) -> None:
    text = scenario.read_text()
    lines = [line.partition("#")[0].rstrip() for line in text.splitlines()]
    expected = [re.sub(r"\s*->\s*", " -> ", line) for line in lines if line.startswith("at ")]
    assert replay(text) == expected


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 5
