"""The dashboard. What it shows comes from /v1.

- `dashboard/`  what a browser loads.
- `files`       those files in memory, and what a browser may do with them.
- `routes`      their addresses.
- `session`     the login, with authentication.
"""
