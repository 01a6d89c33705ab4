"""The gateway's copy of the registry's services and events, and the cursors with which consumers follow it. Pure.

`upstream` writes to the copy; the ports read it. No consumer changes the data that another consumer reads.

- `entry`        one service, and the values that acknowledged heartbeats reported.
- `mirror`       the services as of a revision, and the later changes that the registry acknowledged.
- `tail`         the newest events of the event log.
- `frames`       numbered frames: the changes, merged once for all subscribers of the gateway.
- `freshness`    whether the copy is current, and the registry's time.
- `replica`      all of these together: the methods for upstream, and those for the ports.
- `reader`       the cursor of one consumer in the frames and events.
- `watch_log`    the periods in which the services were not watched.
"""
