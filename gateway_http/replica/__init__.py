"""The copy of the registry and of the event log, as data, and the cursors by which consumers follow it. Pure.

Upstream writes into it; the ports read it. No consumer changes what another one reads.

- `entry`        one service, and what acknowledged beats reported of it.
- `mirror`       the services, true at a revision of the registry, and what was acknowledged since.
- `tail`         the newest events.
- `frames`       what changed, merged once for all subscribers and numbered.
- `freshness`    whether the copy is current, and the registry's time.
- `replica`      all of them together: what upstream writes, and what ports read.
- `reader`       a cursor in the frames and in the events.
- `watch_log`    when the services were not watched.
"""
