"""The copy of the registry and of the event log, as data, and the cursors by which consumers follow it. No I/O."""
