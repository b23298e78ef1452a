"""The rule for the number of segments, the rule for the space, and their thresholds.

`choose_k` and `choose_space` read finished figures and compute none; `tasks.candidates` makes the
figures.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

Line = Mapping[Any, Any]

CURVE = range(2, 13)
CHOICE = range(3, 10)


class SelectionOptions(BaseModel):
    """How the number of segments and the space are found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segments: int = Field(
        default=0,
        ge=0,
        le=50,
        title="Number of segments",
        description="0 chooses it; any other number is taken as it is, and audited all the same.",
    )
    audit_rows: int = Field(
        default=10_000,
        ge=100,
        le=20_000,  # the distances between so many customers take 1.6 GB
        title="Rows in the audit",
        description="Candidates are fitted and measured on at most so many customers.",
    )
    resamples: int = Field(
        default=40,
        ge=10,
        le=1000,
        title="Resamples",
        description="How often customers are drawn anew to see whether segments are found again.",
    )
    min_survival: float = Field(
        default=0.90,
        ge=0,
        le=1,
        title="Found again",
        description="Share of resamples in which every segment must be found again "
        "(with a Jaccard overlap of .75 or more).",
    )
    min_bootstrap_ari: float = Field(
        default=0.90,
        ge=0,
        le=1,
        title="Agreement of refits",
        description="Mean adjusted Rand index between a refit on a resample and the fit on all.",
    )
    min_smallest_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        title="Smallest segment",
        description="Share of customers that the smallest segment must have.",
    )
    min_silhouette_ratio: float = Field(
        default=0.90,
        ge=0,
        le=1,
        title="Silhouette beside the best",
        description="Part of the best admissible silhouette that the chosen one must reach.",
    )
    space_resamples: int = Field(
        default=6,
        ge=3,
        le=100,
        title="Resamples per space",
        description="On so many resamples the spaces are compared.",
    )
    space_tolerance: float = Field(
        default=0.01,
        ge=0,
        title="What a space may lose",
        description="In stability and in eta squared, against plain scaling.",
    )
    space_gain: float = Field(
        default=0.005,
        ge=0,
        title="What a space must gain",
        description="In stability or in eta squared, and by more than two standard errors.",
    )

    @field_validator("segments")
    @classmethod
    def _more_than_one(cls, segments: int) -> int:
        if segments == 1:
            raise ValueError("one segment is no segmentation: give 2 or more, or 0 to choose")
        return segments

    @property
    def may_fail(self) -> int:
        """How often a segment may be missed before its k has surely failed."""
        return self.resamples - math.ceil(self.min_survival * self.resamples - 1e-9)


class Choice(NamedTuple):
    """What a rule chose (None: nothing), why, and what it says of each candidate."""

    chosen: Any
    why: str
    verdicts: Mapping[Any, str]


def choose_k(candidates: pd.DataFrame, options: SelectionOptions) -> Choice:
    """The largest k of which every segment is found again.

    Among 3 to 9: survival, bootstrap ARI and smallest share reach their thresholds, and the
    silhouette its part of the best among those that do. Survival decides and not a mean, because
    a k that breaks does so in some resamples only.

    Parameters
    ----------
    candidates : DataFrame
        One line per k of the plain space: `k, survival, resamples, bootstrap_ari,
        smallest_share, silhouette`; survival is NaN where k was not audited.
    options : SelectionOptions
        The thresholds.

    Returns
    -------
    Choice
        `chosen` is None where no k is stable.
    """
    audited = candidates[candidates["k"].isin(CHOICE) & candidates["survival"].notna()]
    lines = {int(line["k"]): line for line in audited.to_dict("records")}
    verdicts = {k: _failing(line, options) for k, line in lines.items()}
    stable = [line for k, line in lines.items() if not verdicts[k]]
    if stable:
        best = max(stable, key=lambda line: line["silhouette"])
        verdicts |= {int(line["k"]): _duller(line, best, options) for line in stable}
    failed = {k: why for k, why in verdicts.items() if why}
    admissible = [k for k in verdicts if k not in failed]
    told = verdicts | dict.fromkeys(admissible, "every segment is found again")
    if not admissible:
        return Choice(None, f"no stable segmentation: {_each(failed)}", told)
    k = max(admissible)
    beyond = {other: why for other, why in failed.items() if other > k}
    return Choice(k, "; ".join([_praise(lines[k]), *([_each(beyond)] if beyond else [])]), told)


def times_found(line: Line) -> tuple[int, int]:
    """In how many resamples the weakest segment was found again, and of how many."""
    return round(line["survival"] * line["resamples"]), int(line["resamples"])


def _failing(line: Line, options: SelectionOptions) -> str:
    """Why a k is not stable, in words; empty where it is."""
    found, resamples = times_found(line)
    if resamples < options.resamples or line["survival"] < options.min_survival:
        ending = ", then stopped" if resamples < options.resamples else ""
        return f"its weakest segment was found again in {found} of {resamples} resamples{ending}"
    if line["bootstrap_ari"] < options.min_bootstrap_ari:
        return (
            f"its bootstrap ARI is {line['bootstrap_ari']:.3f}, "
            f"and {options.min_bootstrap_ari:.2f} is asked for"
        )
    if line["smallest_share"] < options.min_smallest_share:
        return (
            f"its smallest segment holds {line['smallest_share']:.1%} of the customers, "
            f"and {options.min_smallest_share:.0%} is asked for"
        )
    return ""


def _duller(line: Line, best: Line, options: SelectionOptions) -> str:
    """Why a stable k has too low a silhouette, in words; empty where it has not."""
    margin = (1 - options.min_silhouette_ratio) * abs(best["silhouette"])
    if line["silhouette"] >= best["silhouette"] - margin:
        return ""
    return (
        f"its silhouette, {line['silhouette']:.3f}, is below {options.min_silhouette_ratio:.0%} "
        f"of the best one's, {best['silhouette']:.3f} at k = {best['k']}"
    )


def _praise(line: Line) -> str:
    found, resamples = times_found(line)
    return (
        f"{line['k']}: the largest k of which every segment is found again (the weakest in "
        f"{found} of {resamples} resamples, bootstrap ARI {line['bootstrap_ari']:.3f})"
    )


def chosen_in_words(selection: Mapping[str, Any]) -> str:
    """The chosen candidate and the figures that its gate asks about; from the step's log."""
    metrics, space = selection["metrics"], selection["space"]
    found, resamples = times_found(metrics)
    return (
        f"k = {selection['k']}{'' if space == 'none' else f' in the space {space}'}: "
        f"weakest segment found again in {found} of {resamples} resamples, "
        f"bootstrap ARI {metrics['bootstrap_ari']:.3f}, "
        f"smallest segment {metrics['smallest_share']:.1%}"
    )


def _each(failed: Mapping[int, str]) -> str:
    return "; ".join(f"{k} fails: {why}" for k, why in sorted(failed.items()))


class SpaceFigures(NamedTuple):
    """Two figures of a space at the same k on the same resamples, (n_resamples,) each.

    Adjusted Rand index to its fit on all, and mean eta squared of the customers left out.
    """

    ari: np.ndarray
    eta_squared: np.ndarray


def choose_space(spaces: Mapping[str, SpaceFigures], options: SelectionOptions) -> Choice:
    """Plain scaling, unless another space loses nothing by it and clearly gains.

    The spaces are named from the simplest to the least simple, and each is held against the
    simplest that is as good as all before it: it takes that one's place if neither its stability
    nor its eta squared is lower, than there or in the plain space, by more than
    `space_tolerance`, and one of them is higher by more than `space_gain` and by more than two
    standard errors of the paired difference. So a tie goes to the simpler.

    Returns
    -------
    Choice
        `chosen` is the space's name.
    """
    plain, *others = spaces
    chosen, verdicts = plain, {}
    for name in others:
        gains = [_mean_gain(spaces[name], spaces[chosen], figure) for figure in (0, 1)]
        behind = min(*gains, *(_mean_gain(spaces[name], spaces[plain], i) for i in (0, 1)))
        words = f"{_signed(gains[0])} in stability, {_signed(gains[1])} in eta squared"
        against = "" if chosen == plain else f", against {chosen}"
        if behind < -options.space_tolerance:
            verdicts[name] = f"{name} loses too much ({words}{against})"
        elif any(_is_clearly_better(spaces[name], spaces[chosen], i, options) for i in (0, 1)):
            verdicts[name] = f"{name} is clearly better ({words}{against})"
            chosen = name
        else:
            verdicts[name] = f"{name} is not clearly better ({words}{against})"
    if not others:
        return Choice(plain, f"{plain}: nothing was compared with it", {})
    ari, eta = (float(np.mean(figure)) for figure in spaces[plain])
    start = f"against {plain} (stability {ari:.3f}, eta squared of those left out {eta:.3f})"
    why = f"{chosen}: {start}, on the same {len(spaces[plain].ari)} resamples, "
    return Choice(chosen, why + "; ".join(verdicts.values()), verdicts)


def _mean_gain(space: SpaceFigures, base: SpaceFigures, figure: int) -> float:
    return float(np.mean(space[figure] - base[figure]))


def _is_clearly_better(
    space: SpaceFigures, base: SpaceFigures, figure: int, options: SelectionOptions
) -> bool:
    difference = space[figure] - base[figure]
    error = np.std(difference, ddof=1) / np.sqrt(len(difference))
    return bool(difference.mean() > max(options.space_gain, 2 * error))


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # no "-0.000"


def elbow(candidates: pd.DataFrame) -> int:
    """The k at which the inertia curve bends most: the knee, told and not obeyed.

    The point farthest below the chord from the first to the last point, both axes scaled to
    0..1 (Satopaa et al. 2011, "Finding a 'Kneedle' in a haystack", section III).
    """
    curve = candidates.sort_values("k")
    k, inertia = curve["k"].to_numpy(float), curve["inertia"].to_numpy(float)
    if len(k) < 3 or inertia[0] == inertia[-1]:
        return int(k[0])
    along = (k - k[0]) / (k[-1] - k[0])
    height = (inertia - inertia[-1]) / (inertia[0] - inertia[-1])
    return int(k[np.argmax(1 - along - height)])
