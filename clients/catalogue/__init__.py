"""Fleets as data: one TOML file each. Installed as `tron_catalogue`; `tron_cli.catalogue` says what a row may hold."""
