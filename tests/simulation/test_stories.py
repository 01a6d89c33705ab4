"""Replays stories/*.txt: a small fleet, what happens to it, and what each recipient gets, in the whole simulation.

    root    interval=1s
    child   interval=1s parent=root
    at 5s   crash child
    then root: service_suspect child, service_down child, service_deregistered child

A line `policy NAME=VALUE ...` sets thresholds; `at TIME KIND TARGET [for TIME] [with NUMBER]` is a fault of
`faults.py`. What an alert lists as failed with it follows in brackets. `then` lines name all alerts of a recipient, in
order; a service without a line received none. In every story all promises hold.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grid_model.event import OPERATORS, Event
from grid_model.policy import OrphanPolicy

from tests.simulation.cluster import Cluster
from tests.simulation.plan import Fault, Member, Plan
from tron.policy import Policy

STORIES = sorted((Path(__file__).parent / "stories").glob("*.txt"))

FAULT = re.compile(r"at ([\d.]+)s\s+(\w+)(?:\s+([\w-]+))?(?:\s+for ([\d.]+)s)?(?:\s+with (-?[\d.]+))?")

POLICY = Policy(reconnect_grace=1.0, reattach_window=10.0, escalate_after=2.0, guard_window=4.0)


def seconds(text: str) -> float:
    """`1.5s` as 1.5."""
    return float(text.removesuffix("s"))


def threshold(name: str, text: str) -> Any:
    """The value of a threshold, from its text."""
    if name == "orphan_policy":
        return OrphanPolicy[text.upper()]
    value = seconds(text)
    return int(value) if isinstance(getattr(POLICY, name), int) else value


def read(text: str) -> tuple[Plan, dict[str, str]]:
    """A story as a plan, and what everyone hears."""
    policy = POLICY
    fleet: list[Member] = []
    faults: list[Fault] = []
    heard: dict[str, str] = {}
    for line in text.splitlines():
        code = line.partition("#")[0].strip()
        if not code:
            continue
        words = code.split()
        if words[0] == "policy":
            policy = replace(policy, **{name: threshold(name, text) for name, text in _options(words[1:]).items()})
        elif words[0] == "at":
            match = FAULT.fullmatch(code)
            assert match is not None, f"not a fault: {line!r}"
            at, kind, target, lasts, detail = match.groups()
            lasting = None if lasts is None else float(lasts)
            faults.append(Fault(float(at), kind, target or "", lasting, float(detail or 0)))
        elif words[0] == "then":
            who, _, what = code.removeprefix("then ").partition(":")
            heard[who.strip()] = ", ".join(each.strip() for each in what.split(","))
        else:
            options = _options(words[1:])
            stall_after = seconds(options["stall_after"]) if "stall_after" in options else None
            interval = seconds(options["interval"])
            starts_at = 0.1 * len(fleet)
            fleet.append(Member(words[0], options.get("parent", ""), interval, None, stall_after, starts_at))
    return Plan(1, policy, tuple(fleet), tuple(faults), (0.0002, 0.001), 1000, None, wire=True), heard


def told(event: Event) -> str:
    """An alert in the words of a story."""
    listed = " ".join(event.details.get("affected", ()))
    about = f" {event.service_id}" if event.service_id else ""
    return f"{event.type}{about}{f' [{listed}]' if listed else ''}"


def play(plan: Plan) -> tuple[dict[str, str], list[str]]:
    """What everyone heard, and which promises broke."""
    cluster = Cluster(plan)
    heard: dict[str, list[str]] = {}
    hear = cluster.observer.hearing.heard

    def note(alert_id: str, recipient: str) -> None:
        story = cluster.observer.hearing.stories[alert_id]
        if recipient not in story.heard_by:
            heard.setdefault(recipient, []).append(told(story.event))
        hear(alert_id, recipient)

    cluster.observer.hearing.heard = note  # type: ignore[method-assign]
    outcome = cluster.run()
    return {who: ", ".join(what) for who, what in heard.items()}, [str(each) for each in outcome.violations]


def _options(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words)


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_a_story_ends_as_it_is_told(story: Path) -> None:
    plan, expected = read(story.read_text())
    heard, broken = play(plan)
    assert broken == []
    assert heard == expected


def test_there_are_stories_and_all_can_be_told_something() -> None:
    assert len(STORIES) >= 10
    known = {member.service_id for path in STORIES for member in read(path.read_text())[0].fleet} | {OPERATORS}
    assert {who for path in STORIES for who in read(path.read_text())[1]} <= known
