"""Who moved since last month, and why, as pictures; small groups are not drawn."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from tasks.changes import NOISE
from tasks.drawing import (
    ACCENT,
    INK,
    NORMAL,
    PALE,
    PAPER,
    QUIET,
    SMALL,
    SOFT,
    WARM,
    bare,
    nothing,
    over_panel,
    panels,
    subtitle,
    title,
    wrapped,
    write,
)
from tasks.matching import sorted_ids
from tasks.palette import NEUTRAL
from tasks.small_counts import few, hidden, hidden_with_totals

JOINED, LEFT, NOT_ASSESSED = "joined", "left", "not assessed"
ENDS = (JOINED, LEFT, NOT_ASSESSED)  # of customers, no segments
GAP = 15 / 72  # inches between two blocks, for a line of text
PER_BLOCK, LEAST_HEIGHT, AROUND = 0.42, 2.6, 0.95  # inches
BLOCK = 0.022  # of the width between both months
STAYED, MOVED = 0.22, 0.8  # opacity
LETTERS = 26
KEY = "Pale: stayed. Strong: moved, in the colour of where they come from."

# From what customers do to what we did to them.
CAUSES: Mapping[str, str] = {
    "behaviour": ACCENT,
    "boundary": QUIET,
    "refit": WARM,
    "correction": INK,
}
BARS = 0.5  # of the width; the rest is for words
UNTOLD = "not told apart"


class Block(NamedTuple):
    """A segment in one of the months: where it stands, from the top down."""

    top: float
    height: float


Blocks = Mapping[str, Block]


def draw_migration(
    matrix: pd.DataFrame, names: Mapping[str, str], colours: Mapping[str, str], min_cell: int
) -> Figure:
    """Last month's segments at the left, this month's at the right, and who went where between.

    Parameters
    ----------
    matrix : DataFrame
        `tracking.migration`.
    names, colours : mapping
        Of each segment, by id; one that has none is called by its id, and grey.
    min_cell : int
        Groups of fewer customers are not drawn, nor one that would give them away.
    """
    counts = flows(matrix)
    blocks = max(*counts.shape, 1)
    figure, (ax,) = panels(1, 1, AROUND + max(LEAST_HEIGHT, PER_BLOCK * blocks))
    title(ax, "Who moved since last month", pad=40)
    if counts.empty:
        nothing(ax, "There is nobody to compare with.")
        return figure
    bare(ax)
    untold = hidden_with_totals(counts, min_cell)
    scale = 1 / counts.to_numpy().sum()
    drawn = counts.mask(untold.cells, 0)
    # where the total is not told, a block is as high as what is drawn of it
    was = _blocks(counts.sum(axis=1).mask(untold.rows, drawn.sum(axis=1)) * scale, figure)
    now = _blocks(counts.sum(axis=0).mask(untold.columns, drawn.sum(axis=0)) * scale, figure)
    _draw_ribbons(ax, drawn * scale, was, now, colours)
    for side in (was, now):
        _draw_blocks(ax, side, side is was, names, colours)
    ax.set(xlim=(-0.05, 1.05), ylim=(_bottom(was, now), 0))
    ax.margins(0)
    note = " Groups of a few are not drawn." if untold.cells.any(axis=None) else ""
    subtitle(ax, KEY + note, 26)
    write(ax, "last month", (0, 0), (-8, 12), "right", SOFT, SMALL)
    write(ax, "this month", (1, 0), (8, 12), "left", SOFT, SMALL)
    return figure


def flows(matrix: pd.DataFrame) -> pd.DataFrame:
    """Customers by where they were (rows) and where they are (columns); segments come first."""
    if matrix.empty:
        return pd.DataFrame()
    assessed = matrix["was_assessed"].astype("boolean")
    was = matrix["previous"].astype(object).mask(~assessed.fillna(True), NOT_ASSESSED)
    now = matrix["segment"].astype(object).mask(matrix["status"] == "left", LEFT)
    named = matrix.assign(
        was=was.mask(assessed.isna(), JOINED),
        now=now.mask(matrix["status"] == "not_assessed", NOT_ASSESSED),
    )
    counts = named.pivot_table(
        index="was", columns="now", values="customers", aggfunc="sum", fill_value=0
    )
    return counts.reindex(index=_in_order(counts.index), columns=_in_order(counts.columns))


def _in_order(keys: Iterable[str]) -> list[str]:
    return [*sorted_ids(set(keys) - set(ENDS)), *(end for end in ENDS if end in set(keys))]


def _blocks(heights: pd.Series, figure: Figure) -> Blocks:
    """Where blocks of these heights stand, one below the other."""
    free = figure.get_figheight() - AROUND - GAP * (len(heights) - 1)
    gap = GAP / free
    tops = (heights + gap).cumsum() - heights - gap
    return {str(of): Block(tops[of], heights[of]) for of in heights.index}


def _bottom(*sides: Blocks) -> float:
    return max(block.top + block.height for side in sides for block in side.values())


def _draw_ribbons(
    ax: Axes, shares: pd.DataFrame, was: Blocks, now: Blocks, colours: Mapping[str, str]
) -> None:
    """One ribbon per cell, those of a block one under the other in the order of the others."""
    leaves, arrives = ({of: one.top for of, one in side.items()} for side in (was, now))
    widths = shares.to_numpy().ravel()
    for (origin, goal), width in zip(product(was, now), widths, strict=True):
        if not width:
            continue
        has_stayed = origin == goal
        color = colours.get(origin, NEUTRAL)
        ribbon = PathPatch(
            _ribbon(leaves[origin], arrives[goal], width),
            facecolor=color,
            edgecolor=color,
            lw=0.4,
            alpha=STAYED if has_stayed else MOVED,
            zorder=1 if has_stayed else 2,
        )
        ax.add_patch(ribbon)
        leaves[origin] += width
        arrives[goal] += width


def _ribbon(start: float, end: float, width: float) -> Path:
    """From the left to the right block, level where it leaves and where it arrives."""
    left, middle, right = BLOCK, 0.5, 1 - BLOCK
    there = [(left, start), (middle, start), (middle, end), (right, end)]
    back = [(x, y + width) for x, y in reversed(there)]
    curve = [Path.CURVE4] * 3
    return Path(
        [*there, *back, there[0]], [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    )


def _draw_blocks(
    ax: Axes,
    blocks: Blocks,
    is_last_month: bool,
    names: Mapping[str, str],
    colours: Mapping[str, str],
) -> None:
    x, away, side = (0.0, -8, "right") if is_last_month else (1.0, 8, "left")
    for of, block in blocks.items():
        color = colours.get(of, NEUTRAL)
        corner = (0.0 if is_last_month else 1 - BLOCK, block.top)
        ax.add_patch(Rectangle(corner, BLOCK, block.height, color=color, lw=0.8, zorder=3))
        name = wrapped(names.get(of, of), LETTERS, lines=1)
        middle = (x, block.top + block.height / 2)
        write(ax, name, middle, (away, 0), side, SOFT if of in ENDS else INK)


def draw_causes(changes: Mapping[str, Any], min_cell: int) -> Figure:
    """Who moved, by cause, over those who would have moved for no reason.

    Parameters
    ----------
    changes : mapping
        Of the publication's log: `stayed, moved, causes, noise`.
    min_cell : int
        Causes of fewer customers are not drawn apart, nor one that would give them away.
    """
    figure, (ax,) = panels(1, 1, 1.5)
    title(ax, "Why they moved", pad=22)
    moved, compared = changes["moved"], changes["moved"] + changes["stayed"]
    if moved < min_cell:
        nothing(ax, "Nobody has moved." if not moved else f"{few(moved, min_cell)} have moved.")
        return figure
    bare(ax)
    parts = _told_parts(changes["causes"], min_cell)
    left = 0.0
    for cause, customers in parts.items():
        width = customers / compared
        ax.barh(1, width, 0.5, left=left, color=CAUSES.get(cause, PALE), edgecolor=PAPER, lw=0.8)
        left += width
    write(ax, f"{left:.1%} moved", (left, 1), (6, 0))
    noise = changes["noise"] or {"share": None}
    floor = noise["share"] or 0.0
    if noise["share"] is not None:
        ax.barh(0, floor, 0.5, color="none", edgecolor=SOFT, lw=0.8, hatch="/////")
        write(ax, wrapped(f"{floor:.1%} {NOISE[noise['kind']]}", 44), (floor, 0), (6, 0))
    ax.set(ylim=(-0.5, 1.5), xlim=(0, max(left, floor) / BARS))
    _write_key(ax, parts)
    return figure


def _told_parts(causes: Mapping[str, int], min_cell: int) -> dict[str, int]:
    """Moves by cause in the order of `CAUSES`; those not told apart are one."""
    counts = pd.Series(causes)[[cause for cause in CAUSES if causes.get(cause)]]
    is_untold = hidden(counts.to_frame(), min_cell, row_totals=False).iloc[:, 0]
    told = {str(cause): int(n) for cause, n in counts[~is_untold].items()}
    rest = int(counts[is_untold].sum())
    return told | ({UNTOLD: rest} if rest else {})


def _write_key(ax: Axes, parts: Mapping[str, int]) -> None:
    """What each colour of the bar stands for, in one line under the title."""
    x = 0.0
    for cause, customers in parts.items():
        text = f"{cause} {customers:,}"
        over_panel(ax, "■", (x, 8), CAUSES.get(cause, PALE), NORMAL)
        over_panel(ax, text, (x + 12, 8))
        x += 24 + 5 * len(text)
