"""The false-alarm curve: how soon failure detectors detect a silent agent, and how often they accuse one that lives.

`python -m benchmarks.false_alarms`, or `make curve`. No processes and no clock: heartbeats travel in virtual time, from
seeds, so every run gives the same figures. Read in this order.

- `environments`   LAN, WAN and busy host: the parameters of delay, loss and pauses, and the source of each.
- `traces`         when the heartbeats of one agent are sent, and when the registry reads them.
- `measures`       detection time, mistake recurrence, mistake duration: the measures of Chen, Toueg and Aguilera.
- `detectors`      fixed timeouts, phi accrual, and TRON's own detector, on the same traces.
- `suggestions`    the timeout that `tron explain` suggests after a day, and the mistakes that it makes afterwards.
- `sweep`          all detectors with all thresholds in all environments, on all processors.
- `page`           the tables of docs/false-alarms.md, and the JSON from which they are written.
- `drawing`        the curve, as SVG.
"""
