"""The gRPC service TronService.

- `tron`          statistics, alerts, explanations, maintenance.
- `policy`        thresholds.
- `health`        the answers of the standard health service.
- `method_roles`  which roles may call each method.
- `audited_acts`  which methods the audit log records.
"""
