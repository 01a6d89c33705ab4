"""The versioned JSON API: aware timestamps, problem+json errors, one stream of changes."""
