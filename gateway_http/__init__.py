"""The gateway: the registry and TRON for clients that speak HTTP. A client like any other, without rules of its own.

Read in this order: app.py (what a request is answered from), mirror.py (the copy, pure) and live_feed.py (what keeps it
current), beats.py (heartbeats of many clients on one stream), then legacy/ (one file a legacy port), v1/ and server.py.
"""
