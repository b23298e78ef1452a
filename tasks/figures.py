"""Finished table -> matplotlib Figure; no statistics, and no file is saved here."""

from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

mpl.use("Agg", force=False)

INK, ACCENT, QUIET = "#22313f", "#0f7b8a", "#b9c6cf"
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def _panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of its own: pyplot's shared state is not safe across threads."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
    return figure, list(axes)


def draw_missing(missing: pd.DataFrame) -> Figure:
    """Bars of the share of missing values per column; draws `exploration.missing_values`."""
    import seaborn as sns

    shown = missing[missing["rows"] > 0]
    figure, (ax,) = _panels(1, 1, 7, 1.2 + 0.35 * max(len(shown), 1))
    if shown.empty:
        ax.text(0.5, 0.5, "no value is missing", ha="center", va="center")
        ax.set_axis_off()
        return figure
    sns.barplot(shown, x="share", y="column", color=ACCENT, ax=ax)
    ax.bar_label(cast(BarContainer, ax.containers[0]), labels=[f" {n:,}" for n in shown["rows"]])
    ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.set(title="Missing values", xlabel="share of customers", ylabel="")
    return figure


def draw_distributions(cells: pd.DataFrame) -> Figure:
    """One density per number, between its 5 and 95 % quantiles; draws `distributions`."""
    names = list(dict.fromkeys(cells["column"]))
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = _panels(rows, columns, 2.9 * columns, 1.9 * rows)
    for ax, name in zip(axes, names, strict=False):
        cell = cells[cells["column"] == name]
        edges = np.append(cell["axis_low"], cell["axis_high"].iloc[-1])
        ax.stairs(cell["density"], edges, fill=True, color=ACCENT, alpha=0.85)
        ticks = np.linspace(edges[0], edges[-1], 4)
        values = np.interp(ticks, edges, np.append(cell["low"], cell["high"].iloc[-1]))
        ax.set_xticks(ticks, [_short(value) for value in values])
        ax.set_yticks([])
        ax.set_title(name.replace("_", " ").lower(), fontsize=8)
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    return figure


def draw_correlations(correlations: pd.DataFrame) -> Figure:
    """Heat map of Spearman correlations; draws `exploration.correlations`."""
    import seaborn as sns

    table = correlations.set_index("column")
    size = 1.8 + 0.45 * len(table)
    figure, (ax,) = _panels(1, 1, size + 0.8, size)
    sns.heatmap(
        table * 100,
        annot=True,
        fmt=".0f",
        cmap="vlag",
        center=0,
        vmin=-100,
        vmax=100,
        annot_kws={"size": 7},
        cbar=False,
        linewidths=0.5,
        ax=ax,
    )
    ax.set(title="Spearman correlation x 100", xlabel="", ylabel="")
    ax.tick_params(axis="x", rotation=90)
    return figure


def draw_selection(candidates: pd.DataFrame) -> Figure:
    """Elbow and silhouette curves over k, with the chosen one; draws the selection stage."""
    figure, (left, right) = _panels(1, 2, 9, 3.2)
    plain = candidates[candidates["space"] == "none"].sort_values("k")
    chosen = candidates[candidates["chosen"]].iloc[0]
    for ax, yardstick, title in (
        (left, "inertia", "Elbow: inertia"),
        (right, "silhouette", "Silhouette in the reference space"),
    ):
        ax.plot(plain["k"], plain[yardstick], marker="o", ms=4, color=INK, lw=1.2)
        ax.plot(chosen["k"], chosen[yardstick], "o", ms=9, color=ACCENT)
        ax.axvline(chosen["k"], color=ACCENT, lw=0.8, ls=":")
        ax.set_xticks(plain["k"])
        ax.set(title=title, xlabel="number of segments")
    left.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    return figure


def draw_segments(publication: pd.DataFrame) -> Figure:
    """Share of customers and of value per segment; draws the publication stage."""
    figure, (ax,) = _panels(1, 1, 7, 1.1 + 0.42 * len(publication))
    position = np.arange(len(publication))[::-1]
    ax.barh(position + 0.19, publication["share"], 0.36, color=INK, label="customers")
    ax.barh(
        position - 0.19, publication["value_share"].fillna(0), 0.36, color=ACCENT, label="value"
    )
    ax.set_yticks(position, publication["name"])
    ax.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.set_title("Share of customers and of value")
    ax.legend(frameon=False)
    return figure


def draw_profiles(publication: pd.DataFrame, columns: tuple[str, ...]) -> Figure:
    """Medians of each segment, every column coloured from its lowest to its highest."""
    import seaborn as sns

    medians = publication.set_index("name")[list(columns)]
    spread = (medians.max() - medians.min()).replace(0, 1)
    figure, (ax,) = _panels(1, 1, 2.2 + 0.75 * len(columns), 2.2 + 0.42 * len(medians))
    sns.heatmap(
        (medians - medians.min()) / spread,
        annot=medians.map(_short).to_numpy(),
        fmt="",
        cmap="crest",
        cbar=False,
        linewidths=0.5,
        annot_kws={"size": 7},
        ax=ax,
    )
    ax.set(title="Median per segment", xlabel="", ylabel="")
    ax.tick_params(axis="x", rotation=90)
    ax.tick_params(axis="y", rotation=0)
    return figure


def draw_training(curve: pd.DataFrame) -> Figure:
    """Training and validation error per epoch; draws the autoencoder's `training_curve`."""
    figure, (ax,) = _panels(1, 1, 6, 3)
    ax.plot(curve["epoch"], curve["training"], color=QUIET, label="training")
    ax.plot(curve["epoch"], curve["validation"], color=ACCENT, label="validation")
    ax.set(title="Autoencoder", xlabel="epoch", ylabel="mean squared error", yscale="log")
    ax.legend(frameon=False)
    return figure


def _short(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:,.0f}k"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}"
