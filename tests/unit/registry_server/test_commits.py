"""Everything is released in order, once, and only when it and all before it is durable; readers come last."""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from registry_server.core.commits import INLINE_APART, MAX_INLINE_LINES, MAX_LINES, READERS_AFTER, Batch, Commits
from registry_server.core.effects import Alert, Effects, PutHeartbeats
from tests.unit.registry_server.builders import make_event

NOTHING = Effects([], [])


def lines(count: int = 1) -> Effects:
    """Effects with this many lines for the disk."""
    return Effects([], [PutHeartbeats(()) for _ in range(count)])


def released(commits: Commits, now: float = 0.0) -> list[int]:
    """The positions of all that leaves now."""
    positions = []
    while (commit := commits.release(now)) is not None:
        positions.append(commit.position)
    return positions


def taken(commits: Commits) -> Batch:
    """The batch that is there."""
    batch = commits.take()
    assert batch is not None
    return batch


def test_what_needs_no_commit_leaves_at_once_if_nothing_is_under_way() -> None:
    commits = Commits()
    assert commits.add(Effects([(1, Alert(make_event()))], []), 0, 0) == 1
    assert commits.take() is None
    assert released(commits) == [1]


def test_nothing_leaves_before_its_commit_and_every_earlier_one() -> None:
    commits = Commits()
    commits.add(lines(), 1, 0)
    first = taken(commits)
    commits.add(Effects([(1, Alert(make_event()))], []), 1, 0)
    commits.add(lines(), 2, 0)
    second = taken(commits)
    assert released(commits) == []
    commits.committed(first.position, 0.0)
    assert released(commits) == [1]
    commits.committed(second.position, 0.0)
    assert released(commits) == [2, 3]


def test_all_that_waits_is_one_batch() -> None:
    commits = Commits()
    for revision in range(1, 101):
        commits.add(lines(3), revision, 0)
    batch = taken(commits)
    assert (batch.position, len(batch.lines), commits.take()) == (100, 300, None)
    assert commits.lines == 300
    commits.committed(100, 0.0)
    assert commits.lines == 0


def test_a_command_without_effects_waits_for_those_before_it() -> None:
    commits = Commits()
    position = commits.add(lines(), 1, 0)
    assert commits.add(NOTHING, 1, 0) == position
    batch = taken(commits)
    assert commits.add(NOTHING, 1, 0) == position
    commits.committed(batch.position, 0.0)
    released(commits)
    assert commits.add(NOTHING, 1, 0) <= commits.released_to


def test_readers_see_a_revision_once_it_is_released() -> None:
    commits = Commits(revision=5, sequence=7)
    commits.add(lines(), 6, 8)
    batch = taken(commits)
    assert (commits.revision, commits.sequence) == (5, 7)
    commits.committed(batch.position, 0.0)
    assert (commits.revision, commits.sequence) == (5, 7)
    released(commits)
    assert (commits.revision, commits.sequence) == (6, 8)
    assert commits.due() is None


def test_readers_see_an_alert_a_moment_after_its_recipient() -> None:
    commits = Commits()
    commits.add(Effects([(1, Alert(make_event()))], lines().writes), 1, 1)
    commits.committed(taken(commits).position, 10.0)
    assert released(commits, 10.0) == [1]
    assert (commits.revision, commits.due()) == (0, 10.0 + READERS_AFTER)
    assert commits.add(NOTHING, 1, 1) == 1, "a command without effects does not show it earlier"
    assert released(commits, 10.0) == []
    commits.advance(10.0 + READERS_AFTER / 2)
    assert commits.revision == 0
    commits.advance(10.0 + READERS_AFTER)
    assert (commits.revision, commits.sequence, commits.due()) == (1, 1, None)


def test_inline_is_for_a_few_lines_alone_and_not_for_a_crowd() -> None:
    commits = Commits()
    commits.add(lines(MAX_INLINE_LINES), 1, 0)
    assert commits.commits_inline(0.0)
    commits.committed(taken(commits).position, 0.0, inline=True)
    assert released(commits) == [1]
    commits.add(lines(), 2, 0)
    assert not commits.commits_inline(INLINE_APART / 2), "too soon after the one before"
    assert commits.commits_inline(INLINE_APART)
    commits.add(lines(), 3, 0)
    assert not commits.commits_inline(1.0), "others wait too"
    batch = taken(commits)
    commits.add(lines(), 4, 0)
    assert not commits.commits_inline(1.0), "a batch is under way"
    commits.committed(batch.position, 1.0)
    assert not commits.commits_inline(1.0), "that batch was not released yet"
    released(commits)
    commits.committed(taken(commits).position, 1.0)
    released(commits)
    commits.add(lines(MAX_INLINE_LINES + 1), 5, 0)
    assert not commits.commits_inline(9.0), "too many lines"


def test_after_a_failure_nothing_of_it_or_later_is_released() -> None:
    commits = Commits()
    commits.add(lines(), 1, 0)
    durable = taken(commits)
    commits.add(lines(), 2, 0)
    broken = taken(commits)
    commits.add(lines(), 3, 0)
    commits.failed(broken.position)
    commits.committed(durable.position, 0.0)
    assert released(commits) == [1]
    assert commits.take() is None
    assert released(commits) == []
    assert commits.revision == 1


def test_what_follows_a_failed_batch_never_leaves_even_if_it_needs_no_commit() -> None:
    """A message that an older incarnation is superseded would stop it, and the newer one is lost."""
    commits = Commits()
    commits.add(lines(), 1, 0)
    commits.failed(taken(commits).position)
    assert commits.add(Effects([(1, Alert(make_event()))], []), 1, 0) > commits.released_to
    assert released(commits) == []


def test_lines_that_wait_are_bounded() -> None:
    commits = Commits()
    commits.add(lines(MAX_LINES), 1, 0)
    assert not commits.is_full
    commits.add(lines(), 2, 0)
    assert commits.is_full


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=60))
def test_whatever_happens_positions_leave_once_and_in_order(steps: list[int]) -> None:
    commits, now = Commits(), 0.0
    under_way: deque[Batch] = deque()
    durable = revision = 0
    plain: set[int] = set()
    left: list[int] = []
    for step in steps:
        now += 0.001
        if step <= 1:
            revision += 1
            effects = lines() if step else Effects([(1, Alert(make_event()))], [])
            position = commits.add(effects, revision, 0)
            if not step:
                plain.add(position)
        elif step == 2 and (batch := commits.take()) is not None:
            under_way.append(batch)
        elif step == 3 and under_way:
            durable = under_way.popleft().position
            commits.committed(durable, now)
        elif step == 4 and (commit := commits.release(now)) is not None:
            left.append(commit.position)
            assert commit.position <= durable or commit.position in plain
        commits.advance(now)
        assert commits.revision <= (left[-1] if left else 0), "each commit has its own revision here"
    assert left == sorted(set(left))
    assert left == list(range(1, len(left) + 1)), "none is left out"
