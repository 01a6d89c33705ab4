"""Measures a program, and publishes the values as pages for Prometheus and by OTLP.

Nothing is measured twice: the programs keep plain counts and histograms, and a `Metric` only reads one of them when its
value is requested. Read the modules in this order.

- `histogram`                             counts measured values by size.
- `metrics`                               a metric: its name, its description, and the function that reads its value.
- `program_metrics`                       the metrics that all programs have.
- `exposition`                            the text that Prometheus reads.
- `scrapers`                              which callers may read the page if they must authenticate.
- `guarded_page`                          applies the rules of all HTTP ports to the page.
- `endpoint`                              serves the page of a program without an HTTP server of its own.
- `otlp`                                  sends the metrics to an OpenTelemetry collector.
- `telemetry`                             starts and ends the publication for one program.
"""
