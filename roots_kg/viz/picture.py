"""A neighbourhood as a PNG picture, drawn with matplotlib and without a display."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from roots_kg.errors import UsageError
from roots_kg.files import replacing
from roots_kg.viz.drawing import BOX_HEIGHT, Drawing, draw, shorten, showable, text_width
from roots_kg.viz.layout import Points
from roots_kg.viz.selection import Neighbourhood

__all__ = ["write_png"]

INCH = 100.0
"""Pixels of the layout to an inch."""

SHARPNESS, LARGEST = 200, 9000
"""Dots to an inch, and the most dots a side: fewer an inch where the picture is larger."""

LABEL_PLACES = (0.5, 0.57, 0.43, 0.64, 0.36, 0.71, 0.29)
"""Where on its edge a label may stand, the best first."""

MARGIN, TITLE, LINE, LEGEND_COLUMN = 24.0, 44.0, 22.0, 230.0
COLOURS = tuple("#1f6fb4 #cf5317 #2a8f46 #b8336a #7a52c7 #8a6d00 #008089 #c0392b #6b7280 #8c4f2b".split())
DASHES: tuple[Any, ...] = ("solid", (0, (5, 3)), (0, (1.5, 2.5)))
INK, SOFT, ACCENT = "#1b1f24", "#5b6470", "#0b5cad"


def write_png(neighbourhood: Neighbourhood, path: Path) -> None:
    """Draw a neighbourhood into a PNG file, replacing `path` whole or not at all.

    Raises:
        UsageError: if matplotlib is not installed.
        DataError: if the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        hint = "pip install 'roots-kg[viz]', or name a .html file"
        raise UsageError("a PNG needs matplotlib, which is not installed", hint=hint) from error
    drawing = draw(neighbourhood)
    width, height = (drawing.positions + drawing.sizes / 2).max(0, initial=0)
    width = max(float(width), 640.0)
    columns = max(1, int(width // LEGEND_COLUMN))
    legend = LINE * math.ceil(len(drawing.relations) / columns) + MARGIN
    words = textwrap.wrap(neighbourhood.summary, int(width / 6.4))
    above = TITLE + LINE * len(words)
    size = np.array([width + 2 * MARGIN, above + height + legend + 2 * MARGIN]) / INCH
    figure = Figure(figsize=tuple(size), dpi=min(SHARPNESS, LARGEST / size.max()))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-MARGIN, width + MARGIN)
    axes.set_ylim(height + legend + MARGIN, -above - MARGIN)
    relations = (neighbourhood.graph.relations[relation] for relation in drawing.relations)
    fonts = _fonts("".join([*drawing.labels, *relations]))
    _draw_edges(axes, drawing, fonts)
    _draw_nodes(axes, drawing, fonts)
    title = shorten(neighbourhood.title, int(width / 10))
    _write(axes, 0, 8 - above, title, fonts, size=19, align="left")
    for line, text in enumerate(words):
        _write(axes, 0, TITLE - 10 - above + LINE * line, text, fonts, colour=SOFT, size=12, align="left")
    _draw_legend(axes, drawing, height + MARGIN, width / columns, columns, fonts)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(picture, format="png", facecolor="white")
    with replacing(path) as temporary:
        temporary.write_bytes(picture.getvalue())


def _draw_nodes(axes: Any, drawing: Drawing, fonts: list[str]) -> None:
    from matplotlib.patches import FancyBboxPatch

    centres = set(drawing.neighbourhood.centres)
    for entity, label, (x, y), (width, height) in zip(
        drawing.neighbourhood.entities.tolist(), drawing.labels, drawing.positions, drawing.sizes, strict=True
    ):
        face, edge, ink = (ACCENT, ACCENT, "white") if entity in centres else ("white", SOFT, INK)
        style = f"round,pad=0,rounding_size={BOX_HEIGHT / 2}"
        corner = (x - width / 2, y - height / 2)
        box = FancyBboxPatch(corner, width, height, boxstyle=style, fc=face, ec=edge, lw=0.9, zorder=3)
        axes.add_patch(box)
        _write(axes, x, y, label, fonts, colour=ink, zorder=4)


def _draw_edges(axes: Any, drawing: Drawing, fonts: list[str]) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    pairs: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for head, tail, relation in drawing.edges.tolist():
        pairs.setdefault((min(head, tail), max(head, tail)), []).append((head, tail, relation))
    names = drawing.neighbourhood.graph.relations
    middles, halves = drawing.positions, drawing.sizes / 2
    for edges in pairs.values():
        curves = list(_curves(drawing, edges))
        for (_, _, relation), points in zip(edges, curves, strict=True):
            codes = [Curve.MOVETO] + [Curve.CURVE3 if len(points) == 3 else Curve.CURVE4] * (len(points) - 1)
            colour, dashes = _style(relation)
            axes.add_patch(
                FancyArrowPatch(
                    path=Curve(points, codes),
                    arrowstyle="-|>,head_length=3.2,head_width=1.5",
                    color=colour,
                    linestyle=dashes,
                    linewidth=1.0,
                    shrinkA=0,
                    shrinkB=0,
                    mutation_scale=1.6,
                    zorder=1,
                )
            )
        if drawing.names_edges:
            text = shorten(" · ".join(dict.fromkeys(names[drawing.relations[edge[2]]] for edge in edges)), 40)
            half = np.array([text_width(text) * 3.1 + 3, 8.0])
            middle = _free_place(curves[len(curves) // 2], half, middles, halves)
            middles, halves = np.vstack([middles, middle]), np.vstack([halves, half])
            (x, y), (colour, _) = middle.tolist(), _style(edges[0][2])
            _write(axes, x, y, text, fonts, colour=colour, size=10.5, zorder=2, halo=True)


def _free_place(curve: Points, half: Points, middles: Points, halves: Points) -> Points:
    """Return the point of a curve where a text covers least of what is there, the middle if it is free.

    Args:
        curve: (3 or 4, 2) the curve's control points.
        half: (2,) half the text's width and height.
        middles: (N, 2) the middles of what is there.
        halves: (N, 2) half their widths and heights.
    """
    places = np.stack([_along(curve, share) for share in LABEL_PLACES])
    overlap = (halves + half) - np.abs(places[:, None] - middles)
    covered = np.clip(overlap, 0, None).prod(2).sum(1)
    return np.asarray(places[covered.round().argmin()])


def _curves(drawing: Drawing, edges: list[tuple[int, int, int]]) -> Iterator[Points]:
    """Yield the control points of the edges between two entities, spread so that each can be seen."""
    first = min(edges[0][:2])
    for index, (head, tail, _) in enumerate(edges):
        start, end = drawing.positions[head], drawing.positions[tail]
        if head == tail:
            size = 26.0 + 14 * index
            yield start - np.array([[9, 0], [size, size], [-size, size], [-9, 0]]) - [0, BOX_HEIGHT / 2]
            continue
        way = (end - start) if head == first else (start - end)
        normal = np.array([-way[1], way[0]]) / max(1.0, float(np.hypot(*way)))
        bend = 36.0 * (index - (len(edges) - 1) / 2)
        control = (start + end) / 2 + bend * normal
        yield np.stack([_border(drawing, head, control), control, _border(drawing, tail, control)])


def _border(drawing: Drawing, node: int, towards: Points) -> Points:
    """Return the point where the way from the middle of a node's box leaves the box."""
    away: Points = towards - drawing.positions[node]
    reach = max(1.0, float((np.abs(away) / (drawing.sizes[node] / 2 + 2)).max()))
    return np.asarray(drawing.positions[node] + away / reach)


def _along(points: Points, share: float) -> Points:
    """Return the point of a Bézier curve at a share of the way along it (de Casteljau)."""
    while len(points) > 1:
        points = (1 - share) * points[:-1] + share * points[1:]
    return np.asarray(points[0])


def _draw_legend(
    axes: Any, drawing: Drawing, top: float, column_width: float, columns: int, fonts: list[str]
) -> None:
    names = drawing.neighbourhood.graph.relations
    for index, (relation, count) in enumerate(zip(drawing.relations, drawing.counts, strict=True)):
        colour, dashes = _style(index)
        x, y = index % columns * column_width, top + LINE * (index // columns) + 8
        axes.plot([x, x + 26], [y, y], color=colour, linestyle=dashes, linewidth=1.8)
        label = f"{shorten(names[relation], 22)} ({count:,})"
        _write(axes, x + 34, y, label, fonts, size=12, align="left")


def _write(
    axes: Any,
    x: float,
    y: float,
    text: str,
    fonts: list[str],
    *,
    colour: str = INK,
    size: float = 13.0,
    align: str = "center",
    zorder: int = 3,
    halo: bool = False,
) -> None:
    """Write a text whose size is given in pixels of the layout; `$` and `\\` in it mean nothing."""
    from matplotlib.patheffects import withStroke

    axes.text(
        x,
        y,
        showable(text),
        ha=align,
        va="center_baseline",
        color=colour,
        fontsize=size * 72 / INCH * 0.92,
        fontfamily=fonts,
        zorder=zorder,
        parse_math=False,
        path_effects=[withStroke(linewidth=2.5, foreground="white")] if halo else None,
    )


def _style(relation: int) -> tuple[str, Any]:
    return COLOURS[relation % len(COLOURS)], DASHES[relation // len(COLOURS) % len(DASHES)]


def _fonts(text: str) -> list[str]:
    """Return the font families that together can show a text, as far as this machine has them."""
    from matplotlib import font_manager

    families = ["DejaVu Sans"]
    missing = {ord(char) for char in text if not char.isspace()}
    missing -= _characters(font_manager.findfont("DejaVu Sans"))
    fonts = font_manager.fontManager.ttflist if missing else []
    fonts = [font for font in fonts if not font.name.startswith("Last Resort")]  # boxes for every character
    for font in sorted(
        fonts, key=lambda font: (font.style != "normal", abs(int(font.weight) - 400), font.name)
    ):
        if font.name not in families and (found := missing & _characters(font.fname)):
            families.append(font.name)
            missing -= found
        if not missing:
            break
    return families


def _characters(path: str) -> set[int]:
    """Return the characters that the font in a file can show as outlines."""
    from matplotlib.font_manager import get_font

    try:
        font = get_font(path)
        return set(font.get_charmap()) if font.scalable else set()
    except (OSError, RuntimeError):
        return set()
