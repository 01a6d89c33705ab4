"""The gRPC service TronService.

- `tron`    statistics, alerts, explanations, maintenance.
- `policy`  thresholds.
"""
