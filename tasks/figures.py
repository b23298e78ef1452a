"""Finished table -> matplotlib Figure; no statistics, and no file is saved here."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from tasks.drawing import (
    ACCENT,
    INK,
    PALE,
    QUIET,
    SMALL,
    legend,
    name_lines,
    nothing,
    panels,
    short,
    title,
    words,
    wrapped,
)

MOST_ANNOTATED = 20  # correlations have their number in the cell up to so many columns


def draw_missing(missing: pd.DataFrame) -> Figure:
    """Bars of the share of missing values per column; draws `exploration.missing_values`."""
    lacking = missing[missing["shown"] != "0"]
    figure, (ax,) = panels(1, 1, 0.7 + 0.3 * max(len(lacking), 1))
    title(ax, "Missing values")
    if lacking.empty:
        nothing(ax, "No value is missing.")
        return figure
    ax.spines[:].set_visible(False)
    ax.set(xlim=(0, 1), xticks=[])
    shares = lacking["share"].fillna(0)
    labels = [
        f"{shown} ({share:.1%})" if share else shown
        for shown, share in zip(lacking["shown"], shares, strict=True)
    ]
    position = np.arange(len(lacking))[::-1]
    ax.barh(position, 1, 0.55, color=PALE)
    bars = ax.barh(position, shares, 0.55, color=ACCENT)
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
    ax.stairs(density, edges, fill=True, color=ACCENT)
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
    import seaborn as sns

    pairs = correlations.set_index("column").iloc[1:, :-1]
    few = len(pairs) < MOST_ANNOTATED
    figure, (ax,) = panels(1, 1, 2 + 0.3 * min(len(pairs), 24))
    title(ax, "Spearman correlations" + (", in hundredths" if few else ""))
    if pairs.empty:
        nothing(ax, "There is one number only.")
        return figure
    sns.heatmap(
        pairs * 100,
        mask=np.triu(np.ones(pairs.shape, dtype=bool), 1),
        annot=few,
        fmt=".0f",
        annot_kws={"size": 7},
        cmap=sns.blend_palette(["#a65b00", "#f7f7f5", ACCENT], as_cmap=True),
        vmin=-100,
        vmax=100,
        cbar=not few,
        cbar_kws={"shrink": 0.4, "aspect": 30, "ticks": [-100, 0, 100]},
        linewidths=0.5,
        xticklabels=False,
        yticklabels=False,
        ax=ax,
    )
    ax.set(xlabel="", ylabel="")
    middles = np.arange(len(pairs)) + 0.5
    across, down = ([words(name) for name in names] for names in (pairs.columns, pairs.index))
    ax.set_xticks(middles, across, ha="right", rotation_mode="anchor")
    ax.set_yticks(middles, down, rotation=0)
    ax.tick_params(length=0, labelsize=SMALL if few else 6)
    ax.tick_params(axis="x", rotation=40 if few else 60)
    return figure


def draw_segments(publication: pd.DataFrame) -> Figure:
    """Share of customers and of value per segment; draws the publication stage."""
    figure, (ax,) = panels(1, 1, 0.8 + 0.46 * len(publication))
    position = np.arange(len(publication))[::-1].astype(float)
    shown = [("share", "customers", QUIET), ("value_share", "value", ACCENT)]
    shown = [one for one in shown if publication[one[0]].notna().any()]
    height = 0.72 / len(shown)
    for line, (column, label, color) in enumerate(shown):
        middle = position + height * ((len(shown) - 1) / 2 - line)
        bars = ax.barh(middle, publication[column], height * 0.94, color=color, label=label)
        labels = ["" if pd.isna(share) else f"{share:.1%}" for share in publication[column]]
        ax.bar_label(bars, labels, padding=4, fontsize=SMALL, color=INK)
    ax.set_xticks([])
    ax.margins(x=0.08)
    ax.spines[:].set_visible(False)
    name_lines(ax, position, [wrapped(name, 30) for name in publication["name"]])
    title(ax, "Share of " + " and of ".join(label for _, label, _ in shown))
    if len(shown) > 1:
        legend(ax)
    return figure


def draw_profiles(publication: pd.DataFrame, columns: Sequence[str]) -> Figure:
    """Medians of each segment, every column coloured from its lowest to its highest."""
    import seaborn as sns

    medians = publication.set_index("name")[list(columns)].T  # (n_columns, k)
    lowest, highest = medians.min(axis=1), medians.max(axis=1)
    spread = (highest - lowest).replace(0, 1)
    figure, (ax,) = panels(1, 1, 0.9 + 0.26 * len(medians))
    sns.heatmap(
        medians.sub(lowest, axis=0).div(spread, axis=0),
        annot=medians.map(short).to_numpy(),
        fmt="",
        annot_kws={"size": SMALL},
        cmap=sns.blend_palette(["#f1f5f6", "#8fc3c9", ACCENT, "#0b4f5b"], as_cmap=True),
        vmin=0,
        vmax=1,
        cbar=False,
        linewidths=1,
        xticklabels=False,
        yticklabels=False,
        ax=ax,
    )
    title(ax, "Median per segment", pad=10)
    ax.set(xlabel="", ylabel="")
    room = max(8, 110 // medians.shape[1])
    ax.set_xticks(np.arange(medians.shape[1]) + 0.5, [wrapped(n, room) for n in medians.columns])
    ax.set_yticks(np.arange(len(medians)) + 0.5, [words(n) for n in medians.index], rotation=0)
    ax.tick_params(length=0, labelsize=SMALL)
    ax.xaxis.tick_top()
    return figure


def draw_training(curve: pd.DataFrame) -> Figure:
    """Training and validation error per epoch; draws the autoencoder's `training_curve`."""
    figure, (ax,) = panels(1, 1, 3)
    by_pca, last = curve["validation"].iloc[0], curve["epoch"].iloc[-1]
    ax.axhline(by_pca, color=QUIET, lw=1, ls=":")
    ax.annotate(
        "held out, by PCA of the same width",
        (last, by_pca),
        (0, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        color=INK,
        fontsize=SMALL,
    )
    ax.plot(curve["epoch"], curve["training"], color=QUIET, lw=1.8, label="training")
    ax.plot(curve["epoch"], curve["validation"], color=ACCENT, lw=1.8, label="held out")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch", color=INK, fontsize=SMALL)
    title(ax, "Autoencoder: mean squared error")
    legend(ax)
    return figure
