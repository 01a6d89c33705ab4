"""The environments of the curve: what delays heartbeats, what loses them, and what stops their sender.

A heartbeat travels over TCP, so a lost packet delays it and all that follow it, until a retransmission arrives. Three
processes disturb it: independent losses; periods in which every packet is lost (a Gilbert-Elliott channel whose bad
state loses everything, with heavy-tailed stays in it instead of exponential ones); and pauses of the sender. Lengths of
periods and of pauses follow a bounded Pareto distribution. All times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Periods:
    """Periods that begin as a Poisson process and last for bounded Pareto times."""

    every: float
    """The mean time between two beginnings."""
    shortest: float
    longest: float
    shape: float
    """The tail index: P(length > t) falls as t ** -shape. At most 2 means infinite variance, if there were no bound."""

    def next_start(self, now: float, random: Random) -> float:
        """Return when the next period begins."""
        return now + random.expovariate(1.0 / self.every)

    def length(self, random: Random) -> float:
        """Return the length of a period: the inverse of the distribution function at a uniform random number."""
        within = 1.0 - (self.shortest / self.longest) ** self.shape
        return float(self.shortest * (1.0 - random.random() * within) ** (-1.0 / self.shape))

    def share_above(self, seconds: float) -> float:
        """Return the share of the periods that last longer than `seconds`."""
        if seconds <= self.shortest:
            return 1.0
        if seconds >= self.longest:
            return 0.0
        ratio = (self.shortest / self.longest) ** self.shape
        return float(((self.shortest / seconds) ** self.shape - ratio) / (1.0 - ratio))


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment."""

    name: str
    delay: float
    """The median of the delay in one direction, which is lognormal."""
    spread: float
    """The standard deviation of the logarithm of the delay."""
    loss: float
    """The probability that a single packet is lost, outside of outages."""
    outages: Periods
    """When no packet arrives."""
    pauses: Periods
    """When the sender does not run."""


LAN = Environment(
    name="LAN",
    delay=0.0003,
    spread=1.0,
    loss=1e-5,
    outages=Periods(every=10 * DAY, shortest=0.05, longest=50.0, shape=1.1),
    pauses=Periods(every=HOUR, shortest=0.03, longest=1.5, shape=1.1),
)
"""One site, a host with spare capacity."""

WAN = Environment(
    name="WAN",
    delay=0.14,
    spread=0.1,
    loss=1e-3,
    outages=Periods(every=743.0, shortest=0.65, longest=120.0, shape=1.1),
    pauses=LAN.pauses,
)
"""Two continents, a host with spare capacity."""

BUSY = Environment(
    name="busy host",
    delay=LAN.delay,
    spread=LAN.spread,
    loss=LAN.loss,
    outages=LAN.outages,
    pauses=Periods(every=600.0, shortest=0.1, longest=30.0, shape=1.0),
)
"""One site, a host whose processors are short."""

ENVIRONMENTS = (LAN, WAN, BUSY)

RETRANSMIT = 0.2
"""The shortest retransmission timeout of Linux (TCP_RTO_MIN); it doubles with each retransmission (RFC 6298)."""

REDIAL = 2.0
"""Once the SDK replaces a connection, it tries at least this often (`tron_client.schedule.Backoff.cap`)."""

SOURCES = {
    "delay": "WAN: the mean round trip of 283 ms between Switzerland and Japan [2]; LAN: assumed",
    "spread": "lognormal; WAN: about the deviation of the round trip in [2]; LAN: assumed",
    "loss": "assumed",
    "outages": (
        "WAN: [2] lost 0.4 % of the heartbeats of a week in 814 bursts, the longest about two minutes; heavy-tailed,"
        " because the durations of losses have infinite variance [3]. LAN: assumed; the longest is a spanning tree that"
        " converges anew (IEEE 802.1D)"
    ),
    "pauses": (
        "busy host: the tail index of the processor time of Unix processes, P(T > t) = 1/t [4], lengths and rate"
        " assumed. Otherwise: the collections of CPython among millions of objects, 0.03 to 1.2 s long where measured"
    ),
}
"""What the numbers above are taken from; the references are those of docs/false-alarms.md."""
