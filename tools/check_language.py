"""Finds habits of English that we drop: `python tools/check_language.py`; a part of `make lint`.

Each habit has a ceiling: how often it may occur for now. It fails above the ceiling; lower the ceiling when you mend
sentences. A ceiling of 0 is a rule.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("*.py", "*.md", "*.js", "*.toml", "*.proto", "*.html")
LEFT_OUT = re.compile(r"_pb2|^docs/adr/|^CHANGELOG\.md$|^tools/check_language\.py$|^docs/glossary\.md$")


@dataclass(frozen=True)
class Habit:
    """A pattern, what to write instead, and how often it may occur."""

    pattern: str
    instead: str
    ceiling: int = 0


HABITS = (
    Habit(r"\b[Cc]an not\b", "cannot"),
    Habit(r"\bfor ever\b", "forever"),
    Habit(r"\bhush(es|ed|ing)?\b", "suppress", 1),
    Habit(r"\bas ever\b", "as before, or leave it out"),
    Habit(r"\bby itself\b", "automatically, on its own, alone", 1),
    Habit(r"\bgiv(e|en|es|ing) up\b", "deregister, or end", 2),
    Habit(r"\bclimb", "escalate", 15),
    Habit(r'(^|[.:;] |"""|# )Who ', "a noun as the subject", 2),
    Habit(r"\b(is|are|was|were|be) told\b", "is notified, is sent", 12),
    Habit(r"\bso many\b", "at most N, this many", 2),
    Habit(r"\bwhoever\b", "a noun: the service that ..."),
    Habit(r"\bwhere (none|there|nobody|it|that|one)\b", "if", 10),
    Habit(r"\bstands?\b", "is open, is active, remains", 4),
)


def occurrences(pattern: str, texts: dict[Path, str]) -> list[str]:
    """Each occurrence as path:line: text."""
    wanted = re.compile(pattern)
    anywhere = re.compile(pattern, re.MULTILINE)
    found: list[str] = []
    for path, text in texts.items():
        if not anywhere.search(text):
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            places = len(wanted.findall(line))
            found += [f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"] * places
    return found


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    listed = subprocess.run(["git", "ls-files", *KINDS], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.splitlines() if not LEFT_OUT.search(name) and (ROOT / name).is_file()]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    wrong = False
    for habit in HABITS:
        found = occurrences(habit.pattern, texts)
        if len(found) <= habit.ceiling:
            if len(found) < habit.ceiling:
                print(f"{habit.pattern!r} occurs {len(found)} times: lower its ceiling of {habit.ceiling}")
            continue
        wrong = True
        print(f"{habit.pattern!r} occurs {len(found)} times, more than {habit.ceiling}; write: {habit.instead}")
        for place in found if habit.ceiling < 10 else found[-10:]:
            print(f"  {place}")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
