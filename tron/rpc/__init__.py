"""TronService on the wire."""
