"""What all figures share: inks, sizes, panels, and names that fit.

All pictures are equally wide, so that a report shows their letters in one size. A segment's colour
comes from `tasks.palette`; what is here is for all that is no segment.
"""

import textwrap
import unicodedata
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Annotation

# A page may change these with its theme; DARK and LIGHT stand on a colour that does not change.
INK, SOFT, ACCENT, QUIET, PALE = "#22313f", "#566775", "#0f7b8a", "#93a4b0", "#dfe6ea"
WARM, PAPER = "#a65b00", "#ffffff"
DARK, LIGHT = "#1d2b36", "#fdfefe"
WIDTH = 9.0  # inches
SMALL, NORMAL = 8, 9  # points
LINE = 1.25  # of a letter's height, from one line of a name to the next
LUMINANCE = (0.2126, 0.7152, 0.0722)

_WIDE, _FILLER = "FW", "\0"
_NOT_WRITTEN = ("Cc", "Cs", "Co", "Cn")  # control characters and what is no character


def panels(
    rows: int, columns: int, height: float, width: float = WIDTH
) -> tuple[Figure, list[Axes]]:
    """A figure of its own, with nothing of pyplot and rcParams, which all threads share."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_facecolor("none")
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(QUIET)
        ax.tick_params(color=QUIET, labelcolor=INK, labelsize=SMALL, width=0.8, length=3)
    return figure, list(axes)


def title(ax: Axes, text: str, size: int = 10, pad: int = 6) -> None:
    """Above the panel, at its left edge."""
    ax.set_title(text, loc="left", color=INK, fontsize=size, fontweight="bold", pad=pad)


def subtitle(ax: Axes, text: str, above_panel: int = 8) -> None:
    """Between the title, which needs a pad of 14 points more than this one, and the panel."""
    over_panel(ax, text, (0, above_panel)).set_in_layout(False)


def over_panel(
    ax: Axes, text: str, away: tuple[float, float], color: str = SOFT, size: float = SMALL
) -> Annotation:
    """So many points from the panel's upper left corner."""
    return ax.annotate(
        text,
        (0, 1),
        away,
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        color=color,
        fontsize=size,
    )


def spread(figure: Figure) -> None:
    """More room between panels."""
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(wspace=0.05, hspace=0.07)


def nothing(ax: Axes, why: str) -> None:
    """Say why a panel is empty."""
    ax.set_axis_off()
    ax.text(0, 0.5, why, color=INK, fontsize=NORMAL, va="center", transform=ax.transAxes)


def bare(ax: Axes) -> None:
    """No axes at all: the bars or cells say what they are."""
    ax.spines[:].set_visible(False)
    ax.set(xticks=[], yticks=[])


def ruled(ax: Axes) -> None:
    """Faint lines across, in place of an axis at the left."""
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", color=PALE, lw=0.6)
    ax.set_axisbelow(True)


def label_end(ax: Axes, at: tuple[float, float], text: str, color: str, above: bool = True) -> None:
    """Name a line at its right end, in place of a legend."""
    ax.annotate(
        text,
        at,
        (0, 4 if above else -4),
        textcoords="offset points",
        ha="right",
        va="bottom" if above else "top",
        color=color,
        fontsize=SMALL,
    )


def name_lines(
    ax: Axes, position: Sequence[float] | np.ndarray, names: Sequence[str], size: int = NORMAL
) -> None:
    """Names in place of numbers beside horizontal bars."""
    ax.set_yticks([])
    ax.set_ylim(-0.6, len(position) - 0.4)
    for at, name in zip(position, names, strict=True):
        write(ax, name, (0, at), (-6, 0), "right", size=size, across=True)


def write(
    ax: Axes,
    text: str,
    at: tuple[float, float],
    away: tuple[float, float] = (0, 0),
    ha: str = "left",
    color: str = INK,
    size: float = NORMAL,
    weight: str = "normal",
    across: bool = False,
) -> list[Annotation]:
    """Lines of text around a point, each on its own: a browser with other letters aligns them.

    `away` is in points; `across`: x is a fraction of the panel, y a value.
    """
    lines = text.split("\n")
    step = LINE * size
    return [
        ax.annotate(
            line,
            at,
            (away[0], away[1] + step * ((len(lines) - 1) / 2 - number)),
            xycoords=ax.get_yaxis_transform() if across else "data",
            textcoords="offset points",
            ha=ha,
            va="center_baseline",
            color=color,
            fontsize=size,
            fontweight=weight,
            annotation_clip=False,
        )
        for number, line in enumerate(lines)
    ]


def shades(*colours: str) -> LinearSegmentedColormap:
    """Colours that go over into each other."""
    return LinearSegmentedColormap.from_list("shades", list(colours))


def heat_map(
    ax: Axes, values: np.ndarray, colours: LinearSegmentedColormap, told: np.ndarray | None = None
) -> None:
    """Cells, (n_rows, n_columns), from 0 to 1, the first row on top; null ones stay empty.

    `told` is what is written in each cell, in a letter that can be read on its colour.
    """
    import seaborn as sns

    is_empty = np.isnan(values.astype(float))
    look = {"linewidths": 1, "linecolor": PAPER, "cbar": False}
    ticks = {"xticklabels": False, "yticklabels": False}
    sns.heatmap(values.astype(float), cmap=colours, vmin=0, vmax=1, ax=ax, **look, **ticks)
    bare(ax)
    if told is None:
        return
    # not by seaborn, whose letters are white and black: a page's theme may not change these
    for (row, column), text in np.ndenumerate(told):
        if not text:
            continue
        color = INK if is_empty[row, column] else _on(colours(float(values[row, column])))
        at = (column + 0.5, row + 0.5)
        ax.text(*at, text, ha="center", va="center_baseline", color=color, fontsize=SMALL)


def _on(colour: Sequence[float]) -> str:
    """The letter's colour on a cell of this colour, by its relative luminance (WCAG 2.1)."""
    return DARK if np.dot(np.power(colour[:3], 2.2), LUMINANCE) > 0.2 else LIGHT


def words(column: str, width: int = 36, lines: int = 2) -> str:
    """A column's name for people: `AGE_AT_START` -> `Age at start`."""
    spaced = column.replace("_", " ")
    return wrapped(spaced.capitalize() if spaced.isupper() else spaced, width, lines)


def wrapped(name: str, width: int, lines: int = 2) -> str:
    """A name in at most so many lines of `width` letters, its dollar signs no mark of a formula.

    A letter of Chinese, Japanese or Korean is as wide as two others.
    """
    known = "".join(" " if unicodedata.category(c) in _NOT_WRITTEN else c for c in name)
    filled = "".join(c + _FILLER * (unicodedata.east_asian_width(c) in _WIDE) for c in known)
    parts = textwrap.wrap(" ".join(filled.split()), width)
    if len(parts) > lines:
        parts = [*parts[: lines - 1], _cut(parts[lines - 1], width - 1) + "…"]
    return "\n".join(parts).replace(_FILLER, "").replace("$", r"\$")


def _cut(line: str, width: int) -> str:
    """A line in so many letters, without half a word if there is a whole one."""
    return line if len(line) <= width else line[:width].rpartition(" ")[0] or line[:width]


def short(value: float) -> str:
    """A number in few letters, as 12.3k."""
    for size, letter in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(size, 1e4):
            return f"{value / size:.3g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.2g}"
