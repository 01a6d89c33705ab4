"""Measures a program, and publishes the values as pages for Prometheus and by OTLP.

Nothing is measured twice: the programs keep plain counts and histograms, and a `Metric` only reads one of them when its
value is requested. Read the modules in this order.

- `histogram`                             counts of measured seconds, by size.
- `metrics`                               a metric: its name, its description, and the function that reads its value.
- `program_metrics`                       the metrics that all programs have.
- `exposition`                            the text that Prometheus reads.
- `scrapers`                              with authentication, which callers the page is served to.
- `guarded_page`                          which requests the page is served to, as on all HTTP ports.
- `endpoint`                              serves that text for a program without HTTP of its own.
- `otlp`                                  sends them to an OpenTelemetry collector.
- `telemetry`                             starts and ends the publication for one program.
"""
