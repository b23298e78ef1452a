"""What all figures share: palette, sizes, panels, and names that fit.

All pictures are equally wide, so that a report shows their letters in one size.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, ACCENT, QUIET, PALE = "#22313f", "#0f7b8a", "#93a4b0", "#dfe6ea"
WARM = "#a65b00"
WIDTH = 9.0  # inches
SMALL, NORMAL = 8, 9  # points


def panels(rows: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of its own, with nothing of pyplot and rcParams, which all threads share."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(QUIET)
        ax.tick_params(color=QUIET, labelcolor=INK, labelsize=SMALL)
    return figure, list(axes)


def title(ax: Axes, text: str, size: int = 10, pad: int = 6) -> None:
    """Above the panel, at its left edge."""
    ax.set_title(text, loc="left", color=INK, fontsize=size, fontweight="bold", pad=pad)


def nothing(ax: Axes, why: str) -> None:
    """Say why a panel is empty."""
    ax.set_axis_off()
    ax.text(0, 0.5, why, color=INK, fontsize=NORMAL, va="center")


def legend(ax: Axes) -> None:
    """On the line of the title, where it covers nothing."""
    ax.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        borderaxespad=0,
        frameon=False,
        fontsize=SMALL,
        labelcolor=INK,
    )


def name_lines(ax: Axes, position: np.ndarray, names: Sequence[str]) -> None:
    """Names in place of numbers beside horizontal bars."""
    ax.set_yticks(position, names)
    ax.set_ylim(-0.6, len(position) - 0.4)
    ax.tick_params(axis="y", length=0, labelsize=NORMAL)


def words(column: str, width: int = 36) -> str:
    """A column's name for people: `AGE_AT_START` -> `Age at start`."""
    spaced = column.replace("_", " ")
    return wrapped(spaced.capitalize() if spaced.isupper() else spaced, width)


def wrapped(name: str, width: int) -> str:
    """A name in at most two lines of `width` letters, its dollar signs no mark of a formula."""
    lines = textwrap.wrap(name, width, max_lines=2, placeholder="…")
    return "\n".join(lines).replace("$", r"\$")


def short(value: float) -> str:
    """A number in few letters, as 12.3k."""
    for size, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 1e4):
            return f"{value / size:.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"
