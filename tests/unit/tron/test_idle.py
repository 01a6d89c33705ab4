"""While TRON has nothing to decide, it is sent few frames; what it decides, and when, is the same as with one at each
tick."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from tests.support.core_pair import PATIENT, CorePair, grown
from tests.unit.tron.test_rebuilt_judge import ADOPTED, POLICY, TREE, WHO, act, play, told
from tron.orders import Orders
from tron.policy import Policy

FRAMES_A_SECOND = 10

FLAPPING = replace(POLICY, flap_count=2, flap_window=4.0)
"""A service that is suspected twice is damped, and no longer so a few seconds after."""


class NotingPair(CorePair):
    """Notes what TRON decides at which time."""

    def __init__(self, policy: Policy = PATIENT, **overrides: Policy) -> None:
        super().__init__(policy, None, **overrides)
        self.frames = 0
        self.decided: list[tuple[float, str, str]] = []

    def look(self) -> Orders:
        self.frames += 1
        orders = super().look()
        self.decided += [(self.now, "copy", each.alert_id) for each in orders.copies]
        self.decided += [(self.now, "in advance", each.service_id) for each in orders.preauthorized]
        self.decided += [(self.now, "undelivered", each.alert_id) for each in self.judge.undelivered()]
        return orders


class IdlePair(NotingPair):
    """TRON names the time before which it has nothing to decide, and reads only the frames that the registry sends
    then."""

    def idle_until(self, orders: Orders) -> float | None:
        return None if orders.rulings else self.judge.idle_until()

    def look(self) -> Orders:
        if not self.registry.feed_is_due(self._feed_id, self.now, tick=True):
            return Orders()
        return super().look()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["tick", "kill", "kill", "hang", "hang", "join", "leave", "maintain", "release", "acknowledge"]
        ),
        WHO,
        st.sampled_from([0, 1, 3, 9, 21, 45]),
    ),
    max_size=25,
)


def act_plainly(pair: CorePair, what: str, who: str) -> None:
    """As `act`, but nobody stalls: the heartbeats of a stalled service are news at each tick."""
    if what == "join":
        pair.join(who, TREE[who])
    else:
        act(pair, what, who)


@settings(deadline=None, max_examples=40, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(STEPS)
@example([("hang", "kid", 45)])
@example([("kill", "pa", 1), ("join", "pa", 3), ("kill", "pa", 1), ("join", "pa", 45), ("kill", "kid", 45)])
@example([("kill", "pa", 45), ("join", "pa", 9), ("hang", "other", 45)])
@example([("kill", "kid", 21), ("maintain", "pa", 3), ("kill", "pa", 45), ("release", "pa", 9)])
def test_what_is_decided_and_when_does_not_depend_on_the_frames_without_news(steps: list[tuple[str, str, int]]) -> None:
    each_tick, few = NotingPair(FLAPPING, kid=ADOPTED), IdlePair(FLAPPING, kid=ADOPTED)
    play(steps, each_tick, act_plainly)
    play(steps, few, act_plainly)
    assert few.judged == each_tick.judged
    assert few.decided == each_tick.decided
    assert told(few) == told(each_tick)


def test_a_fleet_in_which_nothing_happens_is_sent_few_frames() -> None:
    pair = IdlePair()
    grown(pair, {"boss": "", "worker": "boss"})
    before = pair.frames
    pair.run(20.0)
    assert pair.frames - before < 20 * FRAMES_A_SECOND / 3


def test_while_a_service_is_suspect_there_is_a_frame_at_each_tick() -> None:
    pair = IdlePair()
    grown(pair, {"boss": "", "worker": "boss"})
    pair.kill("worker")
    pair.run(0.3)
    before = pair.frames
    pair.run(1.0)
    assert pair.frames - before == FRAMES_A_SECOND
