"""TRON, the heartbeat monitor: follows the registry's facts, passes judgement, and has the parent notified.

Read in this order. The core, which decides and does no I/O: `policy` (thresholds), `detector` (alive, suspect, down,
and back; `living` counts), then one ruling from left to right: `suppression` (`guard`, `damping`), `audience`
(`hierarchy`, `lineage`, `grouping`), `alert_book` (what is said; the text is in `messages`), and what stays to be
done (`follow_up`, `held_deaths`, `escalation`); `judge` strings them together into `orders`, from transitions that
wait their turn in `pending`. The shell: `monitor` (observe, judge, apply), `translate`, `operator_relay`, `rpc`,
`server`.

The attentive clock ticks in the registry, which receives the heartbeats: every frame of facts carries its time, and
the detector knows no other. A TRON that was stopped for a minute reads the minute's facts in order and judges by their
time.
"""
