"""Plays transcripts against an SDK: `python -m clients.conformance.runner COMMAND...` starts the SDK's driver.

A transcript passes if every command is answered by exactly the lines that are indented below it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from grid.registry.v1 import heartbeat_pb2

HERE = Path(__file__).parent

Subject = Callable[[str], list[str]]
"""Takes a command, returns the answers."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command and the answers that must follow, with its line in the file."""

    line: int
    command: str
    answers: tuple[str, ...]


class Mismatch(AssertionError):
    """The subject answered something else than the transcript says."""


def transcripts() -> list[Path]:
    """All that there are, in order."""
    return sorted(HERE.glob("*.txt"))


def read(path: Path) -> list[Step]:
    """The steps of a transcript. Raises ValueError for an answer without a command."""
    steps: list[Step] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line.startswith(" "):
            steps.append(Step(number, line.strip(), ()))
        elif steps:
            last = steps[-1]
            steps[-1] = Step(last.line, last.command, (*last.answers, line.strip()))
        else:
            raise ValueError(f"{path.name}:{number}: an answer before any command")
    return steps


def play(path: Path, subject: Subject) -> None:
    """Play one transcript. Raises Mismatch, naming the line, if the subject answers something else."""
    known: dict[str, Any] = {}
    for step in read(path):
        answers = subject(_filled_in(step.command, known))
        matching = len(answers) == len(step.answers) and all(
            _matches(parsed(expected), parsed(answer), known)
            for expected, answer in zip(step.answers, answers, strict=True)
        )
        if not matching:
            wanted, got = "\n    ".join(step.answers) or "nothing", "\n    ".join(answers) or "nothing"
            raise Mismatch(f"{path.name}:{step.line}: {step.command}\n  expected:\n    {wanted}\n  got:\n    {got}")


@contextmanager
def started(command: Sequence[str]) -> Iterator[Subject]:
    """A driver as a process, which ends with the block."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        up, down = process.stdin, process.stdout

        def subject(line: str) -> list[str]:
            up.write(f"{line}\n")
            up.flush()
            answers: list[str] = []
            for answer in down:
                if answer.strip() == "ok":
                    return answers
                answers.append(answer.strip())
            raise Mismatch(f"the driver ended at: {line}")

        yield subject
        up.close()


def parsed(answer: str) -> tuple[str, Any]:
    """The word of a command or an answer, and its argument; a message in one form, however the subject spelled it."""
    word, _, argument = answer.partition(" ")
    if word == "state":
        return word, argument
    value: Any = json.loads(argument) if argument else None
    if word == "send":
        try:
            message = ParseDict(value, heartbeat_pb2.HeartbeatRequest())
        except ParseError as error:
            return word, f"{error}: {argument}"
        value = MessageToDict(message, preserving_proto_field_name=True)
    return word, value


def _filled_in(command: str, known: dict[str, Any]) -> str:
    """The command with the text that each name in it stood for in an answer."""
    for name, text in known.items():
        command = command.replace(json.dumps(name), json.dumps(text))
    return command


def _matches(expected: Any, got: Any, known: dict[str, Any]) -> bool:
    """Whether they are equal. `$name` is any text, the same wherever the name occurs, and another for another name."""
    if isinstance(expected, str) and expected.startswith("$"):
        if expected not in known and got not in known.values() and got:
            known[expected] = got
        return bool(known.get(expected) == got)
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(_matches(expected[key], got[key], known) for key in expected)
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        pairs = zip(expected, got, strict=False)
        return len(expected) == len(got) and all(_matches(one, other, known) for one, other in pairs)
    if isinstance(expected, float) or isinstance(got, float):
        return isinstance(got, int | float) and isinstance(expected, int | float) and abs(expected - got) < 1e-9
    return bool(expected == got)


def main(command: Sequence[str]) -> int:
    """Play all transcripts; returns 1 if one fails."""
    failed = 0
    with started(command) as subject:
        for path in transcripts():
            try:
                play(path, subject)
            except Mismatch as mismatch:
                failed += 1
                print(f"FAILED {mismatch}")
            else:
                print(f"passed {path.name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [sys.executable, "-m", "clients.conformance.driver"]))
