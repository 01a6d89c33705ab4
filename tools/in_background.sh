#!/bin/sh
# Runs a command on what others leave of the processors. Linux shares processors out by session before it looks at
# `nice` (autogroup), and `tron up` gives its programs sessions of their own: so this needs a session of its own, too.
# usage: setsid tools/in_background.sh NICENESS COMMAND...
{ echo "$1" >/proc/self/autogroup; } 2>/dev/null || true
exec nice -n "$@"
