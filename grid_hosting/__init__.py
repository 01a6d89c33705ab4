"""What every server program of ours is hosted by: errors and their statuses, options, settings, logs, operator sinks.

It knows no service and no rule. Programs import it; it imports none of them.
"""
