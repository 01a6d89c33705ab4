"""The decisions of the registry: commands and the time in, effects out. No I/O, no clock, no dice.

Read in this order. The nouns: `service`, `record`, `errors`, `validation`, `effects`. The parts: `attention` (the
clock), `changes` (revisions), `event_log`, `mailbox`, `sessions`, `observations`, `observers`, `directory`. The state,
by idea: `published`, `liveness_facts`, `alert_delivery`, `attachments`, `registrations`, `maintenance`, `heartbeats`,
`judgements`, `verdicts`; `registry` ties them together and is the only way to them. What the wire obeys: `commits`,
`agent_stream`, `observer_stream`, `queries`, `readers`.
"""
