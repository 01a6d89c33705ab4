"""The decisions of the registry. This code receives commands and the time, and returns effects. No I/O, no clock, no
random numbers.

Read in this order.

- `service`, `record`, `effects`                  the values, the record of a service, the effects of a command.
- `validation`                                    the checks of requests.
- `attention`, `clock_steps`                      the attentive clock; steps of the wall clock.
- `changes`, `event_log`                          revisions, and the event log.
- `directory`, `sessions`, `attachments`          ids and names; open streams; which stream carries which service.
- `ended_streams`                                 the services that wait to be detached because their streams ended.
- `ownership`                                     the owners of ids, which outlive registrations.
- `parents`                                       the parent of each service, unless the parent refuses the service.
- `registrations`, `maintenance`, `losses`        registered services; maintenance; services that were lost.
- `facts`, `liveness_facts`                       the facts that TRON evaluates, and their numbers.
- `deadlines`                                     the times at which TRON wants a report about a silent service.
- `observations`, `observers`                     the facts that TRON has not received yet, and whether it is watching.
- `unacknowledged`, `mailbox`, `alert_delivery`   alerts that wait for a recipient, and their way to it.
- `absent_recipients`, `overtaken`                alerts whose recipient is absent, or that a newer fact withdraws.
- `published`                                     the services as readers see them.
- `columns`, `heartbeats`                         the messages of agents: heartbeats, acknowledgements, goodbyes.
- `judgements`, `verdicts`                        the current verdicts, and how new ones are applied or refused.
- `registry_reads`, `registry`                    the queries, and the object through which the state is used.
- `publish_rate`, `rights`                        how many events a caller may publish; what else a caller may do.
- `searches`, `reading_rights`                    what a caller may read, and the searches for it.
- `measures`                                      the counts since the start, which the metrics read.
- `outgoing`, `commits`, `releases`               the effects of commands until they are durable and released.
- `upkeep`                                        ticks, and periodic work over all services.
- `stream_messages`, `message_parts`              the messages of an agent's stream; the parts of large ones.
- `agent_stream`, `observer_stream`               the two kinds of stream, and the answers to their messages.
- `queries`, `readers`, `partial_readers`         lists in pages, and readers with a cursor each.
"""
