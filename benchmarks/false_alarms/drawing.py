"""The curve as SVG: detection time against mistakes per agent-day, a panel for each environment, logarithmic axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import log10
from typing import Any

from benchmarks.false_alarms.environments import ENVIRONMENTS
from benchmarks.false_alarms.sweep import FIXED, PHI_FLOOR, PHI_PAPER, TRON

Row = Mapping[str, Any]

WIDTH, HEIGHT = 360, 330
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 46
LEGEND = 62
SECONDS = (0.5, 200.0)
MISTAKES = (1e-3, 1e3)


@dataclass(frozen=True, slots=True)
class Series:
    """One line of each panel."""

    title: str
    detector: str
    interval: float
    color: str
    dashed: bool = False
    marked: tuple[str, ...] = ()
    """The thresholds whose points are labeled."""


SERIES = (
    Series("fixed timeout, heartbeats every 1 s", FIXED, 1.0, "#8a8f98", dashed=True),
    Series("phi accrual, 1 s", PHI_PAPER, 1.0, "#c2571a", marked=("8", "12")),
    Series("phi accrual, deviation at least 0.1 s, 1 s", PHI_FLOOR, 1.0, "#2e7d32", marked=("8", "12")),
    Series("TRON, 1 s", TRON, 1.0, "#0b57d0", marked=("1", "2", "3")),
    Series("TRON, 5 s", TRON, 5.0, "#5e35b1", marked=("1", "2", "3")),
    Series("TRON, 30 s", TRON, 30.0, "#ad1457", marked=("1", "2", "3")),
)


def draw(rows: Sequence[Row]) -> str:
    """Return the SVG of the curve. A threshold without mistakes has no place on a logarithmic axis: its line ends."""
    width, height = WIDTH * len(ENVIRONMENTS), HEIGHT + LEGEND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="11" role="img" aria-labelledby="title">',
        '<title id="title">Mistakes per agent-day against the mean detection time, by detector and environment</title>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, environment in enumerate(ENVIRONMENTS):
        own = [row for row in rows if row["environment"] == environment.name]
        parts += [f'<g transform="translate({number * WIDTH} 0)">', *_panel(environment.name, own), "</g>"]
    parts += [*_legend(), "</svg>"]
    return "\n".join(parts) + "\n"


def _x(seconds: float) -> float:
    low, high = map(log10, SECONDS)
    return LEFT + (log10(seconds) - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def _y(mistakes: float) -> float:
    low, high = map(log10, MISTAKES)
    return HEIGHT - BOTTOM - (log10(mistakes) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _panel(title: str, rows: Sequence[Row]) -> Iterable[str]:
    yield f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold" fill="#202124">{escape(title)}</text>'
    for seconds in (0.5, 1, 2, 5, 10, 20, 50, 100, 200):
        x = _x(seconds)
        yield f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e8eaed"/>'
        yield _text(x, HEIGHT - BOTTOM + 15, f"{seconds:g}", "middle")
    for power in range(-3, 4):
        y = _y(10.0**power)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e8eaed"/>'
        yield _text(LEFT - 6, y + 4, f"{10.0**power:,.3f}".rstrip("0").rstrip("."), "end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "mean detection time, s", "middle")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield f'<text transform="translate(11 {middle:.0f}) rotate(-90)" text-anchor="middle" fill="#444746">'
    yield "mistakes per agent-day</text>"
    for series in SERIES:
        yield from _line(series, rows)


def _line(series: Series, rows: Sequence[Row]) -> Iterable[str]:
    own = [row for row in rows if (row["detector"], row["interval"]) == (series.detector, series.interval)]
    points = [
        (_x(row["detection_mean"]), _y(row["mistakes_per_agent_day"]), row["threshold"])
        for row in sorted(own, key=lambda row: float(row["threshold"]))
        if SECONDS[0] <= row["detection_mean"] <= SECONDS[1]
        and MISTAKES[0] <= row["mistakes_per_agent_day"] <= MISTAKES[1]
    ]
    if not points:
        return
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in points)
    dashes = ' stroke-dasharray="4 3"' if series.dashed else ""
    yield f'<path d="M{path}" fill="none" stroke="{series.color}" stroke-width="1.6"{dashes}/>'
    for x, y, threshold in points:
        marked = threshold in series.marked
        if not series.dashed:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3.2 if marked else 1.8}" fill="{series.color}"/>'
        if marked:
            yield f'<text x="{x + 5:.1f}" y="{y - 4:.1f}" fill="{series.color}" font-weight="bold">{threshold}</text>'


def _legend() -> Iterable[str]:
    for number, series in enumerate(SERIES):
        x, y = LEFT + number % 3 * WIDTH, HEIGHT + 14 + number // 3 * 20
        dashes = ' stroke-dasharray="4 3"' if series.dashed else ""
        yield f'<path d="M{x} {y - 4}h26" stroke="{series.color}" stroke-width="2"{dashes}/>'
        yield _text(x + 32, y, series.title, "start")
    note = "Numbers at the points: missed heartbeats until DOWN, or phi. Lines end where no mistake was seen."
    yield _text(LEFT, HEIGHT + 54, note, "start")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#444746">{escape(text)}</text>'
