"""Finished table -> matplotlib Figure; no statistics, and no file is saved here."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from tasks.drawing import (
    ACCENT,
    INK,
    PALE,
    SMALL,
    SOFT,
    WARM,
    bare,
    heat_map,
    label_end,
    name_lines,
    nothing,
    panels,
    ruled,
    shades,
    short,
    spread,
    title,
    words,
    wrapped,
    write,
)
from tasks.palette import NEUTRAL

MOST_ANNOTATED = 20  # correlations have their number in the cell up to so many columns
MOST_ACROSS = 7  # segments whose names stand side by side; the names of more are turned
TOP_DIFFERENCES = 5
CARD = (4.2, 2.05)  # inches
LEFT_OF_CARD = -3.6  # where its words begin, in the units of its bars
VALUE = 0.45  # opacity of the bar of value, beside that of customers
MORE, LESS, MIDDLE = "#0b4f5b", "#8a4b00", "#f4f6f5"


def draw_missing(missing: pd.DataFrame) -> Figure:
    """Bars of the share of missing values per column; draws `exploration.missing_values`."""
    lacking = missing[missing["shown"] != "0"]
    figure, (ax,) = panels(1, 1, 0.7 + 0.3 * max(len(lacking), 1))
    title(ax, "Missing values")
    if lacking.empty:
        nothing(ax, "No value is missing.")
        return figure
    bare(ax)
    ax.set_xlim(0, 1)
    shares = lacking["share"].fillna(0)
    labels = [
        f"{shown} ({share:.1%})" if share else shown
        for shown, share in zip(lacking["shown"], shares, strict=True)
    ]
    position = np.arange(len(lacking))[::-1]
    ax.barh(position, 1, 0.5, color=PALE, alpha=0.5)
    bars = ax.barh(position, shares, 0.5, color=ACCENT)
    ax.bar_label(bars, labels, padding=4, fontsize=SMALL, color=INK)
    name_lines(ax, position, [words(name, 30) for name in lacking["column"]])
    return figure


def draw_distributions(cells: pd.DataFrame) -> Figure:
    """One density per number, between its 5 and 95 % quantiles; draws `distributions`.

    A bar that would leave the others flat is cut off, and says which share it holds.
    """
    names = list(dict.fromkeys(cells["column"]))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = panels(rows, columns, 0.2 + 1.45 * rows)
    spread(figure)
    for ax, name in zip(axes, names, strict=False):
        _draw_density(ax, cells[cells["column"] == name])
        title(ax, words(name, 28), SMALL)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    return figure


def _draw_density(ax: Axes, cell: pd.DataFrame) -> None:
    edges = np.append(cell["axis_low"], cell["axis_high"].iloc[-1])
    density = cell["density"].to_numpy()
    *_, second, highest = [0.0, 0.0, *np.sort(density)]
    top = 1.18 * (min(highest, 2.5 * second) or highest or 1.0)
    ax.stairs(density, edges, fill=True, color=ACCENT, alpha=0.85)
    ax.set(ylim=(0, top), yticks=[])
    if highest > top:
        spike = int(density.argmax())
        share = density[spike] * (edges[spike + 1] - edges[spike])
        left = spike < len(density) / 2
        ax.text(
            edges[spike + 1] if left else edges[spike],
            top,
            f" {share:.0%}" if left else f"{share:.0%} ",
            ha="left" if left else "right",
            va="top",
            color=ACCENT,
            fontsize=SMALL,
        )
    values = np.append(cell["low"], cell["high"].iloc[-1])
    ticks = np.linspace(edges[0], edges[-1], 3)
    ax.set_xticks(ticks, [short(value) for value in np.interp(ticks, edges, values)])
    first, _, last = ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    ax.spines["left"].set_visible(False)


def draw_correlations(correlations: pd.DataFrame) -> Figure:
    """Heat map of Spearman correlations, each pair once; draws `exploration.correlations`."""
    pairs = correlations.set_index("column").iloc[1:, :-1]
    few = len(pairs) < MOST_ANNOTATED
    figure, (ax,) = panels(1, 1, 2 + 0.3 * min(len(pairs), 24))
    title(ax, "Spearman correlations" + (", in hundredths" if few else ""))
    if pairs.empty:
        nothing(ax, "There is one number only.")
        return figure
    once = pairs.where(np.tril(np.ones(pairs.shape, dtype=bool))).to_numpy()
    told = np.where(np.isnan(once), "", np.char.mod("%.0f", 100 * once))
    heat_map(ax, (once + 1) / 2, shades(WARM, MIDDLE, ACCENT), told if few else None)
    size = SMALL if few else 6
    middles = np.arange(len(pairs)) + 0.5
    across, down = ([words(name) for name in names] for names in (pairs.columns, pairs.index))
    ax.set_xticks(middles, across, ha="right", rotation_mode="anchor", rotation=40 if few else 60)
    ax.tick_params(length=0, labelsize=size)
    for at, name in zip(middles, down, strict=True):
        write(ax, name, (0, at), (-4, 0), "right", size=size, across=True)
    return figure


def draw_segments(publication: pd.DataFrame, colours: Mapping[str, str]) -> Figure:
    """Share of customers and, paler, of value per segment; draws the publication stage.

    `colours`: of each segment, by id. The largest segment is on top; whose share is not told
    comes last.
    """
    ordered = publication.sort_values("share", ascending=False, kind="stable")
    figure, (ax,) = panels(1, 1, 0.7 + 0.46 * len(ordered))
    bare(ax)
    position = np.arange(len(ordered))[::-1].astype(float)
    shown = [("share", "customers", 1.0), ("value_share", "value", VALUE)]
    shown = [one for one in shown if ordered[one[0]].notna().any()]
    colors = [colours.get(one, NEUTRAL) for one in ordered["segment"]]
    height = 0.7 / max(len(shown), 1)
    for line, (column, label, alpha) in enumerate(shown):
        middle = position + height * ((len(shown) - 1) / 2 - line)
        shares = ordered[column]
        bars = ax.barh(middle, shares.fillna(0), height * 0.94, color=colors, alpha=alpha)
        labels = ["not told" if pd.isna(share) else f"{share:.1%}" for share in shares]
        labels[0] += f" of {label}"
        ax.bar_label(bars, labels, padding=4, fontsize=SMALL, color=INK)
    ax.margins(x=0.1)
    ax.set_xlim(left=0)
    name_lines(ax, position, [wrapped(name, 30) for name in ordered["name"]])
    title(ax, "Share of " + " and of ".join(label for _, label, _ in shown))
    return figure


def draw_profiles(
    publication: pd.DataFrame,
    columns: Sequence[str],
    colours: Mapping[str, str] | None = None,
) -> Figure:
    """Medians of each segment, every column shaded from its lowest to its highest.

    With `colours` (of each segment, by id) every segment has its colour over its medians.
    """
    medians = publication[list(columns)].T  # (n_columns, k)
    lowest, highest = medians.min(axis=1), medians.max(axis=1)
    spread = (highest - lowest).replace(0, 1)
    k, are_turned = len(publication), len(publication) > MOST_ACROSS
    figure, (ax,) = panels(1, 1, (1.9 if are_turned else 1.1) + 0.27 * len(medians))
    told = medians.map(lambda value: "" if pd.isna(value) else short(value)).to_numpy()
    shaded = medians.sub(lowest, axis=0).div(spread, axis=0).to_numpy()
    heat_map(ax, shaded, shades("#eff4f5", "#8fc3c9", ACCENT, MORE), told)
    title(ax, "Median per segment", pad=12)
    room = 30 if are_turned else max(8, 100 // max(k, 1))
    names = [wrapped(name, room, 1 if are_turned else 3) for name in publication["name"]]
    _name_columns(ax, names, are_turned)
    if colours is not None:
        chips = [colours.get(one, NEUTRAL) for one in publication["segment"]]
        ax.bar(np.arange(k) + 0.5, 0.16, 0.9, bottom=-0.24, color=chips, clip_on=False)
        ax.set_ylim(len(medians), -0.3)
    for row, name in enumerate(medians.index):
        write(ax, words(name), (0, row + 0.5), (-6, 0), "right", size=SMALL, across=True)
    return figure


def _name_columns(ax: Axes, names: Sequence[str], are_turned: bool) -> None:
    """Over the panel: side by side, or turned where there are many."""
    ax.xaxis.tick_top()
    ax.tick_params(length=0, labelsize=SMALL, pad=4)
    ax.set_xticks(np.arange(len(names)) + 0.5, names)
    if are_turned:
        ax.tick_params(axis="x", rotation=35)
        for label in ax.get_xticklabels():
            label.set(ha="left", rotation_mode="anchor")


def draw_card(
    differences: pd.DataFrame, segment: str, colour: str, kinds: Mapping[str, str]
) -> Figure:
    """The small picture of a segment: its strongest differences as bars around zero.

    Draws `reasons.differences`: to the right the segment's customers have more than others, to
    the left less, all the way if every one of them has. `kinds` says how a column's numbers are
    written.
    """
    strongest = differences[differences["segment"] == segment].head(TOP_DIFFERENCES)
    figure, (ax,) = panels(1, 1, CARD[1], CARD[0])
    bare(ax)
    if strongest.empty:
        nothing(ax, "Too small to be told of.")
        return figure
    position = np.arange(len(strongest))[::-1]
    ax.barh(position, 2, 0.42, left=-1, color=PALE, alpha=0.5)
    ax.barh(position, strongest["effect"], 0.42, color=colour)
    ax.plot([0, 0], [-0.45, len(strongest) - 0.55], color=INK, lw=0.8)
    ax.set_xlim(LEFT_OF_CARD, 1.02)
    ax.set_ylim(len(strongest) - TOP_DIFFERENCES - 0.5, len(strongest) - 0.1)
    for at, line in zip(position, strongest.to_dict("records"), strict=True):
        kind = kinds.get(line["column"], "")
        here, there = (_as_told(line[of], kind) for of in ("median", "elsewhere"))
        write(ax, words(line["column"], 28, 1), (LEFT_OF_CARD, at + 0.2), size=10)
        write(ax, f"{here} against {there}", (LEFT_OF_CARD, at - 0.25), color=SOFT)
    for x, ha, side in ((-1, "left", "less"), (1, "right", "more")):
        write(ax, side, (x, len(strongest) - 0.4), ha=ha, color=SOFT)
    return figure


def _as_told(value: float, kind: str) -> str:
    """A median as people write it: 86%, 1,757, 7 months."""
    if pd.isna(value):
        return "unknown"
    if kind == "share":
        return f"{value:.0%}"
    return f"{short(value)} months" if kind == "months" else short(value)


def draw_training(curve: pd.DataFrame) -> Figure:
    """Training and validation error per epoch; draws the autoencoder's `training_curve`."""
    figure, (ax,) = panels(1, 1, 3)
    ruled(ax)
    by_pca, last = curve["validation"].iloc[0], curve["epoch"].iloc[-1]
    ax.axhline(by_pca, color=SOFT, lw=1, ls=":")
    label_end(ax, (last, by_pca), "held out, by PCA of the same width", SOFT, above=False)
    ends = curve[["training", "validation"]].iloc[-1]
    for column, name, color in (("training", "training", SOFT), ("validation", "held out", ACCENT)):
        ax.plot(curve["epoch"], curve[column], color=color, lw=1.8)
        label_end(ax, (last, ends[column]), name, color, above=ends[column] == ends.max())
    ax.set_yscale("log")
    ax.margins(y=0.14)
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch", color=SOFT, fontsize=SMALL)
    title(ax, "Autoencoder: mean squared error")
    return figure
