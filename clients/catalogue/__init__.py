"""Fleets as data: one TOML file each. Installed as `tron_catalogue`; `tron_cli.fleet_file` says what a row may hold."""
