"""The versioned JSON API: times with a zone, problem+json errors, one stream of changes.

- `api`                                   services, events, alerts.
- `stream`                                GET /v1/stream.
- `overview`, `history`, `explanation`    what a page reads besides the stream: routes, past events, explanations.
- `prometheus`                            targets for service discovery. Pure.
- `views`                                 the answers as pydantic models.
"""
