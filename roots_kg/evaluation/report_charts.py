"""Bar charts with interval whiskers as inline SVG, whose text keeps its size at every width of the page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from roots_kg.intervals import Estimate

__all__ = ["Bar", "bars"]

ROW, BAR, TOP = 46, 14, 22
"""The height of a row, of its bar, and how far down in the row the bar begins, in pixels."""

AXIS = 24
TICKS = (
    (0, "0", "start"),
    (25, "0.25", "middle"),
    (50, "0.5", "middle"),
    (75, "0.75", "middle"),
    (100, "1", "end"),
)
"""Where a tick is, in percent of the width, what it is called, and where its name begins."""


@dataclass(frozen=True)
class Bar:
    """One row of a chart.

    Args:
        label: what it is.
        value: a share from 0 to 1 with its interval; a value alone has no whisker; None draws no bar.
        shown: the value in words, at the end of the row.
        kind: the class it is drawn in: "graph", "plain" or "text".
    """

    label: str
    value: Estimate | float | None
    shown: str
    kind: str = "plain"


def bars(name: str, title: str, rows: Sequence[Bar]) -> str:
    """Draw horizontal bars on an axis from 0 to 1.

    Positions are shares of the width, so that the drawing fits a telephone without its text shrinking.

    Args:
        name: an identifier that no other chart of the page has.
        title: what the chart shows; with the rows in words, it is the text alternative.
        rows: the bars, from the top.
    """
    description = "; ".join(f"{row.label}: {row.shown}" for row in rows)
    height = ROW * len(rows) + AXIS
    parts = [
        f'<svg class="chart" width="100%" height="{height}" role="img" '
        f'aria-labelledby="{name}-title {name}-words">',
        f'<title id="{name}-title">{html.escape(title)}</title>',
        f'<desc id="{name}-words">{html.escape(description)}</desc>',
    ]
    for share, called, anchor in TICKS:
        parts.append(
            f'<line class="tick" x1="{share}%" x2="{share}%" y1="{TOP}" y2="{height - AXIS + 4}"/>'
            f'<text class="axis" x="{share}%" y="{height - 4}" text-anchor="{anchor}">{called}</text>'
        )
    for number, row in enumerate(rows):
        parts.append(_row(row, ROW * number))
    return "\n".join([*parts, "</svg>"])


def _row(row: Bar, top: int) -> str:
    text = (
        f'<text class="label" x="0" y="{top + 15}">{html.escape(row.label)}</text>'
        f'<text class="value" x="100%" y="{top + 15}" text-anchor="end">{html.escape(row.shown)}</text>'
    )
    if row.value is None:
        return text
    value = row.value if isinstance(row.value, float) else row.value.value
    drawn = f'<rect class="bar {row.kind}" x="0" y="{top + TOP}" width="{_percent(value)}" height="{BAR}"/>'
    if isinstance(row.value, float):
        return text + drawn
    low, high = _percent(row.value.low), _percent(row.value.high)
    middle, first, last = top + TOP + BAR // 2, top + TOP + 2, top + TOP + BAR - 2
    whisker = "".join(
        f'<line class="{kind}" x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}"/>'
        for kind in ("halo", "whisker")
        for x1, x2, y1, y2 in (
            (low, high, middle, middle),
            (low, low, first, last),
            (high, high, first, last),
        )
    )
    return text + drawn + whisker


def _percent(share: float) -> str:
    return f"{100 * min(1.0, max(0.0, share)):.2f}%"
