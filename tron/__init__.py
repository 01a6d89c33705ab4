"""TRON, the heartbeat monitor: evaluates the registry's facts, and decides whom the registry notifies of failures.

The core makes the decisions and does no I/O. Read in this order.

- `policy`, `policy_layers`                       the thresholds, and the source of each.
- `facts`                                         the detector's record of a service, and its transitions.
- `detector`, `living`, `tally`                   the state machine, and its counts.
- `hold`, `returns`                               what delays verdicts: stalls of the registry, services that return.
- `pending`                                       transitions that wait for their ruling (a verdict with its alerts).
- `suppression`, `guard`, `damping`               whether an alert is sent now.
- `audience`, `hierarchy`, `lineage`, `grouping`  the recipients: parent, ancestors, orphans; the subtree.
- `alert_book`, `messages`                        the content of an alert; all sentences that people read.
- `follow_up`, `held_deaths`, `escalation`        the work that remains for later frames.
- `preauthorized`, `preauthorizer`                suspicions that the registry applies on its own.
- `orders`, `judge`                               the orders to the registry; the object that connects the stages.
- `session`                                       one stream of facts: the calls that result, and refused verdicts.
- `explanation`, `margin`                         explains a verdict; the safety margin of a service.
- `registry_loss`, `unreached`                    when a lost registry, or an alert without a recipient, is reported.

The shell:

- `stats`                                         the counts of TRON's work since its start.
- `monitor`                                       reads frames, evaluates them, applies verdicts.
- `operator_relay`                                passes alerts for operators to the sinks.
- `probe`                                         checks whether the host of a suspect still accepts connections.
- `live_policy`, `policy_store`                   the thresholds that operators change.
- `rpc/`                                          TronService.
- `metrics`                                       the metrics, and the value that each reads.
- `server`, `config`                              starts and stops TRON; the settings.

The attentive clock runs in the registry, which receives the heartbeats. Every frame of facts contains the time of this
clock, and the detector uses no other time. A TRON process that was stopped for a minute reads the facts of that minute
in order, and decides by the times in the frames.
"""
