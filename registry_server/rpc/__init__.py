"""One file a gRPC service or stream; `translate` between wire and domain; `status` from reason to code."""
