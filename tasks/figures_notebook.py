"""What the usual notebook draws: its elbow, its silhouettes, its map of principal components."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tasks.drawing import (
    ACCENT,
    PALE,
    QUIET,
    SMALL,
    SOFT,
    bare,
    nothing,
    panels,
    ruled,
    spread,
    title,
)

PLAIN = "none"
SEGMENTS = 7
COLUMNS = 4
LEGEND = "Darker: more customers.\nPale: other segments.\nNot shown: cells of\nfewer than five."


def draw_notebook(curves: pd.DataFrame, cells: pd.DataFrame) -> Figure:
    """Elbow and silhouettes of z-scores and code, then a map per segment.

    Draws `notebook_curves` and `notebook_map`. The map shows cells of several customers only;
    how many are in no such cell stands in the corner.
    """
    segments = sorted(cells["segment"].unique())
    rows = 1 + -(-len(segments) // COLUMNS)
    figure, axes = panels(rows, COLUMNS, 0.4 + 1.9 * rows)
    spread(figure)
    is_plain = curves["space"] == PLAIN
    for ax, part, yardstick, words in (
        (axes[0], curves[is_plain], "inertia", "Inertia, z-scores"),
        (axes[1], curves[~is_plain], "inertia", "Inertia, code"),
        (axes[2], curves[is_plain], "silhouette", "Silhouette, z-scores"),
        (axes[3], curves[~is_plain], "silhouette", "Silhouette, code"),
    ):
        _draw_curve(ax, part, yardstick)
        title(ax, words, SMALL)
    everywhere = cells.dropna(subset="x")
    for ax, segment in zip(axes[COLUMNS:], segments, strict=False):
        _draw_map(ax, everywhere, cells[cells["segment"] == segment])
        title(ax, f"Segment {segment}", SMALL)
    for ax in axes[COLUMNS + len(segments) :]:
        nothing(ax, LEGEND)
    return figure


def _draw_curve(ax: Axes, curve: pd.DataFrame, yardstick: str) -> None:
    """In its own space, so no two panels share an axis."""
    ruled(ax)
    told = curve.dropna(subset=yardstick)
    ax.plot(told["k"], told[yardstick], marker="o", ms=3, color=QUIET, lw=1.5)
    seven = told[told["k"] == SEGMENTS]
    ax.plot(seven["k"], seven[yardstick], "o", ms=7, color=ACCENT)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.set_xlabel("number of segments", color=SOFT, fontsize=SMALL)
    if yardstick == "inertia":
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _draw_map(ax: Axes, everywhere: pd.DataFrame, segment: pd.DataFrame) -> None:
    """The segment's cells, the fuller the darker, on those of everyone."""
    if everywhere.empty:
        nothing(ax, "No cell holds enough customers.")
        return
    own = segment.dropna(subset="x")
    ax.add_collection(PolyCollection(_squares(everywhere), facecolors=PALE, rasterized=True))
    if len(own):
        shade = np.sqrt(own["customers"] / own["customers"].max()).to_numpy()  # few stay visible
        ax.add_collection(
            PolyCollection(_squares(own), facecolors=ACCENT, alpha=shade, rasterized=True)
        )
    ax.autoscale_view()
    bare(ax)
    first = everywhere.iloc[0]
    ax.set_xlabel(f"component 1 ({first['explained_x']:.0%})", color=SOFT, fontsize=SMALL)
    ax.set_ylabel(f"component 2 ({first['explained_y']:.0%})", color=SOFT, fontsize=SMALL)
    _tell_hidden(ax, segment)


def _tell_hidden(ax: Axes, segment: pd.DataFrame) -> None:
    (hidden,) = segment.loc[segment["x"].isna(), "customers"]
    if hidden == 0:
        return
    shown = "a few" if np.isnan(hidden) else f"{hidden:,.0f}"
    ax.set_title(f"{shown} not shown", loc="right", color=SOFT, fontsize=SMALL, pad=6)


def _squares(cells: pd.DataFrame) -> list[np.ndarray]:
    """Corners of each cell, (4, 2)."""
    x, y, width = (cells[name].to_numpy() for name in ("x", "y", "width"))
    across, up = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])
    corners = [x[:, None] + width[:, None] * across, y[:, None] + width[:, None] * up]
    return list(np.stack(corners, axis=-1))
