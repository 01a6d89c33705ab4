"""What the gateway reads from the registry and from TRON, and what it tells them, over gRPC."""
