"""The decisions of the registry: commands and the time in, effects out. No I/O, no clock, no random numbers.

Read in this order.

- `service`, `record`, `effects`                  the nouns: values, a service's record, effects of a command.
- `validation`                                    what the registry accepts.
- `attention`                                     the attentive clock.
- `changes`, `event_log`                          revisions, and the numbered history.
- `directory`, `sessions`, `attachments`          ids and names; open streams; which of them carries which service.
- `ended_streams`                                 services that are to be detached, as their streams ended.
- `registrations`, `maintenance`, `losses`        registered services; held notices; services that were lost.
- `facts`, `liveness_facts`                       the facts that TRON judges by, and their numbers.
- `observations`, `observers`                     what TRON has not received yet, and whether it watches.
- `unacknowledged`, `mailbox`, `alert_delivery`   alerts that wait for a recipient, and their way to it.
- `absent_recipients`, `overtaken`                alerts whose recipient is gone, or that a newer fact withdraws.
- `published`                                     what readers see of each service.
- `columns`, `heartbeats`                         what agents send: heartbeats, acknowledgements, goodbyes.
- `judgements`, `verdicts`                        what TRON decides: applied or refused.
- `registry`                                      the state as one object, and the only way to it.
- `measures`                                      what was done since the start; metrics are read from it.
- `outgoing`, `commits`, `releases`               effects until they are taken; what is durable and released when.
- `upkeep`                                        ticks, and work over all services now and then.
- `agent_stream`, `observer_stream`               the two streams: each message in, all answers out.
- `queries`, `readers`                            lists in pages, and readers with a cursor each.
"""
