"""The dashboard: the files that a browser loads."""
