"""How the number of segments was chosen, as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.drawing import ACCENT, INK, NORMAL, QUIET, SMALL, WARM, panels, title

PLAIN = "none"
RULES = "plain rule"
PRESETS = ("notebook",)  # what is chosen there is no point of the curve


def draw_selection(candidates: pd.DataFrame, min_survival: float, resamples: int) -> Figure:
    """Elbow, silhouette, survival and explained variance over k; draws the selection stage.

    Beside the plain space: the same on permuted columns (where nobody belongs together), and the
    plain rule. The inertia of another space is on another scale, so there the plain space's
    point is marked.
    """
    figure, axes = panels(2, 2, 5.6)
    plain = candidates[candidates["space"] == PLAIN].sort_values("k")
    chosen = candidates[candidates["chosen"]]
    of_plain = plain[plain["k"].isin(chosen.loc[~chosen["space"].isin(PRESETS), "k"])]
    for ax, yardstick, marked, words in (
        (axes[0], "inertia", of_plain, "Inertia (the elbow)"),
        (axes[1], "silhouette", chosen, "Silhouette in the reference space"),
        (axes[3], "eta_squared", chosen, "Variance of all columns explained"),
    ):
        _draw_curve(ax, plain, yardstick)
        _mark(ax, marked, yardstick)
        title(ax, words)
    _draw_rule(axes[1], candidates, "silhouette")
    _draw_rule(axes[3], candidates, "eta_squared")
    _draw_survival(axes[2], plain, min_survival, resamples)
    _mark(axes[2], of_plain, "survival")
    for ax in axes:
        ax.set_xticks(plain["k"])
        ax.margins(y=0.14)
        ax.set_xlabel("number of segments", color=INK, fontsize=SMALL)
        if ax.get_legend_handles_labels()[1]:
            ax.legend(loc="best", frameon=False, fontsize=SMALL, labelcolor=INK)
    axes[2].set_xlim(axes[0].get_xlim())
    axes[0].yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes[2].yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return figure


def _draw_curve(ax: Axes, plain: pd.DataFrame, yardstick: str) -> None:
    null = f"{yardstick}_null"
    if null in plain:
        ax.plot(plain["k"], plain[null], color=QUIET, lw=1.2, ls=":", label="columns permuted")
    ax.plot(plain["k"], plain[yardstick], marker="o", ms=4, color=QUIET, lw=1.5)


def _mark(ax: Axes, marked: pd.DataFrame, yardstick: str) -> None:
    ax.plot(marked["k"], marked[yardstick], "o", ms=9, color=ACCENT)
    for k, height, space in zip(marked["k"], marked[yardstick], marked["space"], strict=True):
        if np.isnan(height):
            continue
        ax.annotate(
            f"k = {k}" + ("" if space == PLAIN else f", {space}"),
            (k, height),
            (4, 7),
            textcoords="offset points",
            color=ACCENT,
            fontsize=NORMAL,
            fontweight="bold",
        )


def _draw_rule(ax: Axes, candidates: pd.DataFrame, yardstick: str) -> None:
    rule = candidates[candidates["space"] == RULES]
    if len(rule):
        ax.plot(rule["k"], rule[yardstick], "D", ms=6, color=WARM, label="the plain rule")


def _draw_survival(ax: Axes, plain: pd.DataFrame, min_survival: float, resamples: int) -> None:
    """Hollow where not all resamples were drawn, because it had surely failed."""
    audited = plain[plain["survival"].notna()]
    title(ax, "Weakest segment found again")
    ax.axhline(min_survival, color=WARM, lw=1, ls="--", label=f"{min_survival:.0%} asked for")
    ax.plot(audited["k"], audited["survival"], color=QUIET, lw=1.5)
    whole = audited["resamples"] >= resamples
    for part, face, words in ((whole, QUIET, ""), (~whole, "white", "stopped early")):
        ax.plot(
            audited["k"][part],
            audited["survival"][part],
            "o",
            ms=5,
            mec=QUIET,
            mfc=face,
            label=words if part.any() else "",
        )
