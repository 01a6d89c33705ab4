"""What the documents show, block by block and command by command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^ *(?P=fence) *$",
    re.DOTALL | re.MULTILINE,
)
_SPAN = re.compile(r"(?<![`\w])`(?P<text>[^`\n]+)`")


@dataclass(frozen=True)
class Snippet:
    """One fenced block; `where` is file and line."""

    where: str
    language: str
    text: str


def documents() -> list[Path]:
    """All of them, apart from records of what was."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "clients").glob("*.md")]
    found += [*(ROOT / "examples").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
    return sorted(found)


def snippets() -> list[Snippet]:
    """All fenced blocks of all documents."""
    return [each for document in documents() for each in snippets_of(document)]


def snippets_of(document: Path) -> Iterator[Snippet]:
    """The fenced blocks of one document."""
    text = document.read_text()
    for found in _FENCE.finditer(text):
        line = text[: found.start()].count("\n") + 1
        where = f"{document.relative_to(ROOT)}:{line}"
        indent = found["indent"]
        body = "".join(each.removeprefix(indent) for each in found["text"].splitlines(keepends=True))
        yield Snippet(where, found["language"].strip(), body)


def spans(beginning: str) -> Iterator[tuple[str, str]]:
    """All code within lines that begins so, with where it is."""
    for document in documents():
        if document.name == "CHANGELOG.md":
            continue  # tells what was, too
        text = _FENCE.sub(lambda found: "\n" * found[0].count("\n"), document.read_text())
        for found in _SPAN.finditer(text):
            if found["text"].startswith(beginning):
                yield f"{document.relative_to(ROOT)}:{text[: found.start()].count(chr(10)) + 1}", found["text"]


def commands_of(script: str) -> list[list[str]]:
    """The words of each simple command of a shell script; continuations are joined, comments are gone."""
    commands: list[list[str]] = []
    for line in script.replace("\\\n", " ").splitlines():
        for part in re.split(r"\s(?:&&|\|\||\||;)\s", line):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"[A-Za-z_]\w*=.*|exec|sudo|\$", words[0]):
                words = words[1:]
            if words:
                commands.append(words)
    return commands
