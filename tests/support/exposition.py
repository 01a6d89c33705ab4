"""What Prometheus would read of each program of a running system."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import System

PORTS = {"registry": "registry_metrics", "monitor": "tron_metrics", "gateway": "registry_http"}
"""The keys of the ready file under which each program serves its page."""


def scrape(system: System, program: str) -> str:
    """The page of `registry`, `monitor` or `gateway`."""
    answer = httpx.get(f"{system.url(PORTS[program])}/metrics", timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.text


def families(page: str) -> dict[str, Metric]:
    """The metrics of a page by their names, as they are documented: counters with `_total`."""
    return {
        f"{each.name}_total" if each.type == "counter" else each.name: each
        for each in text_string_to_metric_families(page)
    }


def value(page: str, sample: str, labels: Mapping[str, str] | None = None) -> float:
    """The sum of all samples of that name that have these labels."""
    wanted = (labels or {}).items()
    return sum(
        each.value
        for family in text_string_to_metric_families(page)
        for each in family.samples
        if each.name == sample and wanted <= each.labels.items()
    )
