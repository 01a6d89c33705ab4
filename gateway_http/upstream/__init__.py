"""What the gateway says to the registry over gRPC."""
