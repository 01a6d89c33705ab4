"""How a program measures itself, and how others read that: the pages of Prometheus, and OTLP.

Nothing is measured twice: the programs keep plain counts and histograms as things happen, and a `Metric` only reads one
of them when it is asked for. Read in this order.

- `histogram`                             counts of measured seconds, by size.
- `metrics`                               what a metric is: its name, its sentence, and where its value is read.
- `program_metrics`                       the metrics that all programs have.
- `exposition`                            the text that Prometheus reads.
- `endpoint`                              serves that text for a program without HTTP of its own.
- `otlp`                                  sends them to an OpenTelemetry collector.
- `telemetry`                             starts and ends all of it for one program.
"""
