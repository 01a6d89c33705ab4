"""TRON, the heartbeat monitor: follows the registry's facts, passes judgement, and has the parent notified.

The core decides and does no I/O. Read in this order.

- `policy`, `policy_layers`                       thresholds, and where each of them comes from.
- `facts`                                         what the detector knows, and what it concludes.
- `detector`, `living`, `hold`                    alive, suspect, down and back; stalls of the registry hold judgement.
- `pending`                                       transitions that wait for their turn to be ruled on.
- `suppression`, `guard`, `damping`               whether an alert is sent now.
- `audience`, `hierarchy`, `lineage`, `grouping`  who is notified: recipient, ancestors, orphans, subtree.
- `alert_book`, `messages`                        what an alert says; every sentence that people read.
- `follow_up`, `held_deaths`, `escalation`        what stays to be done.
- `preauthorized`, `preauthorizer`                suspicions that the registry applies on its own.
- `orders`, `judge`                               what the registry is to do; the object that connects the stages.
- `session`                                       one stream of facts: which calls follow, and what is taken back.
- `explanation`                                   why a service is judged as it is.
- `registry_loss`, `unreached`                    what operators must learn although no agent can be notified.

The shell:

- `stats`                                         what was done since the start.
- `monitor`                                       observe, judge, apply, repeat.
- `operator_relay`                                alerts for operators, to the sinks.
- `probe`                                         a second look at a suspect.
- `live_policy`, `policy_store`                   thresholds that operators change, and keep.
- `rpc/`                                          TronService.
- `metrics`                                       the metrics, and where each is read.
- `server`, `config`                              builds and runs it; the settings.

The attentive clock ticks in the registry, which receives the heartbeats: every frame of facts carries its time, and
the detector knows no other. A TRON that was stopped for a minute reads the minute's facts in order and judges by their
time.
"""
