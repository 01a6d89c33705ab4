"""A TRON that was killed and started again leads to the same registry as one that was there all the time.

Two worlds with the same history; in one TRON is replaced at moments that the test picks. Not compared: what it does not
keep on purpose (damping counts, and who is listed in a mass failure), so neither happens here.
"""

from __future__ import annotations

from collections.abc import Callable

from grid_model import event_details
from grid_model.policy import OrphanPolicy
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from registry_server.core.service import Judgement
from tests.support.core_pair import CorePair
from tron.policy import Policy

POLICY = Policy(guard_ratio=1.0, flap_count=10_000, escalate_after=4.0, misses_before_deregister=8)
ADOPTED = Policy(
    guard_ratio=1.0, flap_count=10_000, escalate_after=4.0, misses_before_deregister=8, orphan_policy=OrphanPolicy.ADOPT
)

TREE = {"root": "", "grandpa": "root", "pa": "Grandpa", "kid": "pa", "other": "pa"}

WHO = st.sampled_from(sorted(TREE))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "tick",
                "kill",
                "kill",
                "hang",
                "join",
                "leave",
                "maintain",
                "release",
                "acknowledge",
                "replace",
                "replace",
            ]
        ),
        WHO,
        st.sampled_from([0, 1, 3, 9, 21, 45]),
    ),
    max_size=25,
)


def act(pair: CorePair, what: str, who: str) -> None:
    """Let something happen, if it can."""
    known = who in pair.registry.records
    if what == "join":
        pair.join(who, TREE[who], name=who.title(), stall_after=3.0 if who == "other" else None)
    elif what == "acknowledge":
        pair.acknowledge(who)
    elif not known:
        return
    elif what == "maintain":
        pair.maintain(who)
    elif what == "release":
        pair.registry.release_notices(who)
    elif what == "hang":
        pair.hang(who)
    elif pair.registry.get(who).session is None:
        return
    elif what == "kill":
        pair.kill(who)
    elif what == "leave":
        pair.leave(who)


def judgements(pair: CorePair) -> dict[str, Judgement]:
    """How everyone is judged, the deregistered ones too."""
    found = {service_id: record.judgement for service_id, record in pair.registry.records.items()}
    for service_id, tombstone in pair.registry.tombstones.items():
        if tombstone.judgement is not None:
            found[f"{service_id}, gone"] = tombstone.judgement
    return found


def told(pair: CorePair) -> set[tuple[str, str, str]]:
    """The alerts of each recipient, by service."""
    waiting = pair.registry.all_waiting()
    return {(copy.event.recipient, copy.event.type, copy.event.service_id) for copy in waiting}


def lists(pair: CorePair, recipient: str) -> set[str]:
    """The services that alerts about others listed for a recipient, which may be named by its id or its name."""
    events = pair.told(recipient) + pair.told(recipient.title()) + pair.told(recipient.lower())
    return {each for event in events for each in event_details.texts_in(event.details, "affected")}


def play(steps: list[tuple[str, str, int]], pair: CorePair, act: Callable[[CorePair, str, str], None]) -> None:
    """Let everyone join, play the steps by `act`, and let time pass."""
    for service_id in TREE:
        act(pair, "join", service_id)
    pair.run(1.0)
    for what, who, ticks in steps:
        act(pair, what, who)
        for _ in range(ticks):
            pair.step()
    pair.run(15.0)


def replace(pair: CorePair, what: str, who: str) -> None:
    """As `act`, and TRON is killed where the steps say so."""
    if what == "replace":
        pair.restart_tron()
    act(pair, what, who)


# A failure is reported as it was found: to shrink it takes minutes, and the time limit of the test would hide it.
@settings(deadline=None, max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(STEPS)
@example([("kill", "grandpa", 3), ("kill", "pa", 9), ("replace", "root", 9), ("kill", "kid", 1)])
@example([("leave", "pa", 3), ("replace", "root", 3), ("kill", "kid", 45)])
@example([("maintain", "kid", 1), ("kill", "kid", 21), ("replace", "root", 0), ("release", "kid", 1)])
@example([("maintain", "pa", 3), ("kill", "pa", 21), ("kill", "grandpa", 0), ("replace", "grandpa", 0)])
@example(
    [
        *[("hang", "other", 0), ("kill", "other", 45), ("replace", "grandpa", 9), ("join", "other", 45)],
        *[("hang", "other", 0), ("hang", "grandpa", 1), ("replace", "grandpa", 12), ("hang", "root", 3)],
    ]
)
@example([("kill", "kid", 0), ("kill", "root", 12), ("kill", "grandpa", 9), ("replace", "grandpa", 0)])
def test_a_tron_that_is_replaced_leads_to_the_same_registry(steps: list[tuple[str, str, int]]) -> None:
    kept, replaced = CorePair(POLICY, other=ADOPTED), CorePair(POLICY, other=ADOPTED)
    play(steps, kept, act)
    play(steps, replaced, replace)
    before, after = judgements(kept), judgements(replaced)
    assert {each: (word.liveness, word.cause) for each, word in after.items()} == {
        each: (word.liveness, word.cause) for each, word in before.items()
    }
    # Nobody learns less. A recipient that received no alert about a service received another alert that lists it: if
    # two services die within a millisecond, the order of their verdicts decides whether one is listed in the other's.
    for each, word in before.items():
        for recipient in set(word.told_to) - set(after[each].told_to):
            assert each.split(",")[0] in lists(replaced, recipient)
    for recipient, kind, about in told(kept) - told(replaced):
        assert (kind, about in lists(replaced, recipient)) == ("service_down", True)
    # Who is listed in an ancestor's alert may be told of by itself too: TRON forgets the lists.
    listed = {each.split(",")[0] for each, word in (before | after).items() if word.folded_into}
    assert {about for _, _, about in told(replaced) - told(kept)} <= listed
