"""The legacy contract, one file a port: registry.py (6121), tron.py (6109), events.py (6102), hmi.py (6101)."""
