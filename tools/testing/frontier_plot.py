"""Draws accepted against drafted tokens as an SVG: a panel for each trace."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

Point = tuple[float, float]

COLUMNS = 4
PANEL_WIDTH, PANEL_HEIGHT = 250, 190
LEFT, TOP, RIGHT, BOTTOM = 34, 26, 10, 26
#: The range of drafted tokens a step that is drawn, on a logarithmic axis.
DRAFTED = (1.0, 32.0)
#: Shapes of drafts by colour.
COLOURS = {"path": "#c4502b", "tree": "#1f6f8b"}


class Panel:
    """The axes of one trace: drafted tokens to the right, accepted tokens upwards."""

    def __init__(self, x: float, y: float, most: float) -> None:
        self._x, self._y = x + LEFT, y + TOP
        self._width = PANEL_WIDTH - LEFT - RIGHT
        self._height = PANEL_HEIGHT - TOP - BOTTOM
        self._step = _rounded(most / 4)
        self._most = self._step * math.ceil(most / self._step)

    def place(self, point: Point) -> Point:
        low, high = (math.log2(end) for end in DRAFTED)
        part = (math.log2(max(point[0], DRAFTED[0])) - low) / (high - low)
        return (
            self._x + self._width * part,
            self._y + self._height * (1 - point[1] / self._most),
        )

    def axes(self, title: str) -> Iterable[str]:
        yield (f'<text x="{self._x}" y="{self._y - 10}" class="title">{html.escape(title)}</text>')
        value = 0.0
        while value <= self._most + 1e-9:
            y = self.place((1, value))[1]
            yield _line((self._x, y), (self._x + self._width, y), "grid")
            yield f'<text x="{self._x - 5}" y="{y + 3.5:.1f}" class="y">{value:g}</text>'
            value = round(value + self._step, 9)
        for drafted in (1, 2, 4, 8, 16, 32):
            x = self.place((drafted, 0))[0]
            bottom = self._y + self._height
            yield f'<text x="{x:.1f}" y="{bottom + 14}" class="x">{drafted}</text>'

    def curve(self, points: Sequence[Point], colour: str) -> str:
        path = " ".join(
            f"{x:.1f},{y:.1f}"
            for x, y in (self.place(point) for point in points if point[0] >= DRAFTED[0])
        )
        return f'<polyline points="{path}" stroke="{colour}"/>'

    def dots(self, points: Iterable[Point], colour: str) -> Iterable[str]:
        for point in points:
            x, y = self.place(point)
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" stroke="{colour}"/>'


def draw(
    traces: Sequence[tuple[str, dict[str, list[Point]], dict[str, list[Point]]]],
) -> str:
    """The figure.

    Args:
        traces: For each trace its name, our curve and the peer's points, by shape.
    """
    rows = math.ceil(len(traces) / COLUMNS)
    width, height = COLUMNS * PANEL_WIDTH, rows * PANEL_HEIGHT + 34
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="10">',
        "<style>polyline{fill:none;stroke-width:1.8} circle{fill:#fff;stroke-width:1.3} "
        ".grid{stroke:#ddd;stroke-width:1} text{fill:#444} .title{font-size:11px;fill:#111} "
        ".y{text-anchor:end} .x{text-anchor:middle}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for place, (name, ours, peer) in enumerate(traces):
        drawn = [point for points in (*ours.values(), *peer.values()) for point in points]
        most = max(y for x, y in drawn if x <= DRAFTED[1])
        panel = Panel(place % COLUMNS * PANEL_WIDTH, place // COLUMNS * PANEL_HEIGHT, most)
        lines += panel.axes(name)
        for shape, colour in COLOURS.items():
            lines.append(panel.curve([p for p in ours[shape] if p[0] <= DRAFTED[1]], colour))
            lines += panel.dots(peer[shape], colour)
    y = rows * PANEL_HEIGHT + 18
    legend = [
        (
            "accepted against drafted tokens a step; lines: estimate, circles: the published "
            "implementation at its best settings;",
            "#444",
        ),
        ("paths", COLOURS["path"]),
        ("trees", COLOURS["tree"]),
    ]
    spans = " ".join(f'<tspan fill="{colour}">{text}</tspan>' for text, colour in legend)
    lines.append(f'<text x="{LEFT}" y="{y}" font-size="11">{spans}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _rounded(value: float) -> float:
    """The next larger of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value)


def _line(begin: Point, end: Point, name: str) -> str:
    return (
        f'<line x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" '
        f'class="{name}"/>'
    )
