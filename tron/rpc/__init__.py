"""TronService on the wire.

- `tron`    what TRON judges: statistics, alerts, explanations, maintenance.
- `policy`  thresholds.
"""
