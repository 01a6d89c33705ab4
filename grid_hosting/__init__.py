"""What every server program of ours is hosted by: errors and their statuses, options, settings, logs, ready file.

It knows no service and no rule. Programs import it; it imports none of them.
"""
