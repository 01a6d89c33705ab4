"""Faults on real processes, each held to a promise of the README: `make chaos` runs all, `make test` a short set.

In reading order: `ground` is the system under test and what is said about its agents, `conftest` collects the figures.
Then one module for each kind of fault: `test_processes`, `test_network`, `test_storage`, `test_clock`, `test_readers`,
`test_churn`, `test_resources`. The docstring of a scenario begins with its promises; it ends with one call of `figure`.
"""
