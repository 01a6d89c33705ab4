"""TRON, the heartbeat monitor: follows the registry's facts, passes judgement, and has the parent hear of it.

Read in this order. The core, which decides and does no I/O: `policy` (thresholds), `detector` (alive, suspect, down,
and back), `alert_book` (what is said to whom). The shell: `monitor` (observe, judge, apply), `sinks`, `rpc`, `server`.

The attentive clock ticks where the ears are, in the registry: every frame of facts carries its time, and the detector
knows no other. A TRON that was stopped for a minute reads the minute's facts in order and judges by their time.
"""
