"""The registry: records who is registered, who is connected and what was heard. It has no thresholds.

Read in this order. The core, which decides and does no I/O: `service` (the nouns), `errors`, `validation`, `attention`
(the clock), `changes` (revisions), `event_log`, `mailbox`, `observations`, and `catalogue`, which ties them together.
The shell, which moves bytes, waits and stores: `store`, `engine`, `rpc`, `server`.
"""
