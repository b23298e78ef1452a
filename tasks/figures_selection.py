"""How the number of segments was chosen, as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.drawing import (
    ACCENT,
    NORMAL,
    PAPER,
    QUIET,
    SMALL,
    SOFT,
    WARM,
    label_end,
    panels,
    ruled,
    spread,
    title,
    write,
)

PLAIN = "none"
RULES = "plain rule"
BELOW_A_LABEL = 5  # points of a curve
PRESETS = ("notebook",)  # what is chosen there is no point of the curve


def draw_selection(candidates: pd.DataFrame, min_survival: float, resamples: int) -> Figure:
    """Elbow, silhouette, survival and explained variance over k; draws the selection stage.

    Beside the plain space: the same on permuted columns (where nobody belongs together), and the
    plain rule. The inertia of another space is on another scale, so there the plain space's
    point is marked.
    """
    figure, axes = panels(2, 2, 5.8)
    spread(figure)
    plain = candidates[candidates["space"] == PLAIN].sort_values("k")
    chosen = candidates[candidates["chosen"]]
    of_plain = plain[plain["k"].isin(chosen.loc[~chosen["space"].isin(PRESETS), "k"])]
    for ax, yardstick, marked, words in (
        (axes[0], "inertia", of_plain, "Inertia (the elbow)"),
        (axes[1], "silhouette", chosen, "Silhouette in the reference space"),
        (axes[3], "eta_squared", chosen, "Variance of all columns explained"),
    ):
        _draw_curve(ax, plain, yardstick)
        _mark(ax, marked, yardstick, rises=yardstick == "eta_squared")
        title(ax, words)
    _draw_rule(axes[1], candidates, "silhouette")
    _draw_rule(axes[3], candidates, "eta_squared")
    _draw_survival(axes[2], plain, min_survival, resamples)
    _mark(axes[2], of_plain, "survival")
    for ax in axes:
        ruled(ax)
        ax.set_xticks(plain["k"])
        ax.margins(y=0.16)
        ax.set_xlabel("number of segments", color=SOFT, fontsize=SMALL)
    axes[2].set_xlim(axes[0].get_xlim())
    axes[0].yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    shares = axes[2].get_yticks()
    bottom, top = axes[2].get_ylim()
    axes[2].set_yticks([one for one in shares if bottom <= one <= min(top, 1)])
    axes[2].yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    return figure


def _draw_curve(ax: Axes, plain: pd.DataFrame, yardstick: str) -> None:
    null = f"{yardstick}_null"
    if null in plain and plain[null].notna().any():
        tail = plain.dropna(subset=null).tail(BELOW_A_LABEL)
        ax.plot(plain["k"], plain[null], color=SOFT, lw=1.2, ls=":")
        is_above = bool(tail[null].iloc[-1] >= tail[yardstick].iloc[-1])
        height = tail[null].max() if is_above else tail[null].min()
        label_end(ax, (tail["k"].iloc[-1], height), "columns permuted", SOFT, above=is_above)
    ax.plot(plain["k"], plain[yardstick], marker="o", ms=4, color=QUIET, lw=1.5)


def _mark(ax: Axes, marked: pd.DataFrame, yardstick: str, rises: bool = False) -> None:
    """The chosen, named on the side where the curve is not."""
    ax.plot(marked["k"], marked[yardstick], "o", ms=9, color=ACCENT)
    for k, height, space in zip(marked["k"], marked[yardstick], marked["space"], strict=True):
        if np.isnan(height):
            continue
        ax.annotate(
            f"k = {k}" + ("" if space == PLAIN else f", {space}"),
            (k, height),
            (-6 if rises else 4, 8),
            textcoords="offset points",
            ha="right" if rises else "left",
            color=ACCENT,
            fontsize=NORMAL,
            fontweight="bold",
        )


def _draw_rule(ax: Axes, candidates: pd.DataFrame, yardstick: str) -> None:
    rule = candidates[candidates["space"] == RULES]
    for k, height in zip(rule["k"], rule[yardstick], strict=True):
        ax.plot(k, height, "D", ms=6, color=WARM)
        write(ax, "the plain rule", (k, height), (0, -11), "center", WARM, SMALL)


def _draw_survival(ax: Axes, plain: pd.DataFrame, min_survival: float, resamples: int) -> None:
    """Hollow where not all resamples were drawn, because it had surely failed."""
    audited = plain[plain["survival"].notna()]
    title(ax, "Weakest segment found again")
    ax.axhline(min_survival, color=WARM, lw=1, ls="--")
    asked = f"{min_survival:.0%} asked for"
    write(ax, asked, (1, min_survival), (0, 6), "right", WARM, SMALL, across=True)
    ax.plot(audited["k"], audited["survival"], color=QUIET, lw=1.5)
    whole = audited["resamples"] >= resamples
    for part, face in ((audited[whole], QUIET), (audited[~whole], PAPER)):
        ax.plot(part["k"], part["survival"], "o", ms=5, mec=QUIET, mfc=face)
    if not whole.all():
        first = audited[~whole].iloc[0]
        write(ax, "stopped early", (first["k"], first["survival"]), (8, 0), "left", SOFT, SMALL)
