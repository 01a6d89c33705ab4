"""The gateway: the registry and TRON for clients that speak HTTP. A client like any other, without rules of its own.

Read in this order: app.py (what a request is answered from), replica/ (the copy, pure), upstream/ (what keeps it
current, and what is sent to the registry), then http/, legacy/ (one file a legacy port), v1/, page/ and server.py.
"""
