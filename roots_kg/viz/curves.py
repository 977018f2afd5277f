"""The figures of a training run over its steps, as a PNG picture with a panel for each of them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

__all__ = ["draw_curves", "has_matplotlib"]

COLUMNS, WIDTH, HEIGHT, DOTS = 2, 5.0, 3.0, 130
FEW = 30
HELD_OUT = "held_out_"
TRAINED, JUDGED = "#1f6fb4", "#cf5317"


def has_matplotlib() -> bool:
    """Tell whether such a picture can be drawn here."""
    return find_spec("matplotlib") is not None


def draw_curves(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Draw figures over the steps at which they were logged; a held-out figure shares the panel of its like.

    Args:
        rows: each with its "step" and, by name, what was logged at it.

    Returns:
        The bytes of a PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = {name for row in rows for name in row if name not in ("step", "epoch")}
    panels: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (name == "learning_rate", name.removeprefix(HELD_OUT), name)):
        panels.setdefault(name.removeprefix(HELD_OUT), []).append(name)
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH * columns, HEIGHT * lines), dpi=DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    for place, (subject, drawn) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(lines, columns, place)
        for name in drawn:
            points = [(row["step"], row[name]) for row in rows if name in row]
            judged = name.startswith(HELD_OUT)
            axes.plot(
                *zip(*points, strict=True),
                marker="o" if len(points) < FEW else "",
                markersize=3,
                linewidth=1.4,
                color=JUDGED if judged else TRAINED,
                label="held out" if judged else "training",
            )
        if len(drawn) > 1 or drawn[0].startswith(HELD_OUT):
            axes.legend(frameon=False)
        axes.set_title(subject.replace("_", " "), loc="left", fontsize=11)
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
