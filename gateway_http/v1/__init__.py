"""The versioned JSON API: times with a zone, problem+json errors, one stream of changes.

- `api`                                   services, events, alerts.
- `stream`                                GET /v1/stream.
- `documents`                             long answers, encoded in turns.
- `overview`, `history`, `explanation`    what web pages read in addition: the routes, past events, explanations.
- `prometheus`                            targets for service discovery. Pure.
- `views`                                 the answers as pydantic models.
"""
