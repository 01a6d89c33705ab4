"""The decisions of the registry: commands and the time in, effects out. No I/O, no clock, no dice.

Read in this order: `service` (the nouns), `errors`, `validation`, `attention` (the clock), `changes` (revisions),
`event_log`, `mailbox`, `sessions`, `observations`, and `catalogue`, which ties them together; `verdicts` applies what
TRON decided, `queries` answers readers.
"""
