"""Measure whether confidence means what it says: ``python -m tests.audits.confidence``.

Confidence is the probability that a refit on other customers puts a customer into the same
segment. It is held against fresh resamples of the reference table, and against refits that never
saw the customers in question: each 70 % are fitted on, and the other 30 % looked at.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from tasks.confidence import calibrate, confidence_of, gaps_between, gaps_of
from tasks.kmeans import published_kmeans
from tasks.scaling import ScalingOptions, scale_customers
from tasks.stability import compare, refitter, resample
from tests.audits.common import (
    OPTIONS,
    PLAIN,
    Figure,
    measured,
    number_of_draws,
    one_by_one,
    reference_table,
    tell,
)
from tests.audits.judges import CONTRACT

DRAWS, K, BINS = 5, 7, 15
HELD_OUT_SHARE = 0.3
OTHER_SEEDS = 1000  # fresh resamples are drawn under seeds of their own


class Calibration(NamedTuple):
    """How good the said probabilities were, and how good one number for all would have been."""

    ece: float
    brier: float
    constant: float


def calibration(said: np.ndarray, came_true: np.ndarray) -> Calibration:
    """Hold probabilities against outcomes, (n,) each.

    Brier 1950; the constant is the share that came true, which is known afterwards only.
    """
    brier = float(np.square(said - came_true).mean())
    return Calibration(calibration_error(said, came_true), brier, float(came_true.var()))


def calibration_error(said: np.ndarray, came_true: np.ndarray, bins: int = BINS) -> float:
    """Mean gap between what was said and what came true, in bins of equal count.

    Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian
    binning", AAAI; there in bins of equal width.
    """
    parts = np.array_split(np.argsort(said, kind="stable"), bins)
    gaps = [len(part) * abs(said[part].mean() - came_true[part].mean()) for part in parts]
    return float(sum(gaps) / len(said))


def held_against_refits(X: np.ndarray, fitted_on: np.ndarray, seed: int) -> Calibration:
    """Fit segments and curve on some rows of X, (n, p), and look at rows that refits left out.

    Where all rows are fitted on, those are the customers whom a resample did not draw, and else
    the customers whom nothing was fitted on.
    """
    fitted = X[fitted_on]
    kmeans = published_kmeans(fitted, K, seed, "none")
    labels = kmeans.predict(fitted)
    refit = refitter(fitted, "none", K, PLAIN, seed)
    told = resample(refit, labels, K, seed, range(OPTIONS.resamples))
    curve = calibrate(gaps_of(fitted, labels), told)
    said = confidence_of(gaps_between(kmeans.transform(X)), curve)
    return calibration(*fresh_outcomes(X, fitted_on, kmeans.predict(X), said, seed + OTHER_SEEDS))


def fresh_outcomes(
    X: np.ndarray, fitted_on: np.ndarray, labels: np.ndarray, said: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """What was said of the customers looked at, and whether each refit agreed, (n_outcomes,)."""
    rng = np.random.default_rng(seed)
    refit = refitter(X, "none", K, PLAIN, seed)
    looked_at = np.ones(len(X), dtype=bool)
    if len(fitted_on) < len(X):
        looked_at[fitted_on] = False
    sayings, outcomes = [], []
    for number in range(OPTIONS.resamples):
        drawn = rng.choice(fitted_on, len(fitted_on))
        one = compare(labels, refit(drawn, number), K, drawn)
        rows = one.left_out & looked_at
        sayings.append(said[rows])
        outcomes.append(one.stayed[rows])
    return np.concatenate(sayings), np.concatenate(outcomes)


def figures_of(name: str, found: Sequence[Calibration]) -> list[Figure]:
    """Calibration error and Brier score, the constant's beside it."""
    better = [one.constant - one.brier for one in found]
    return [
        measured(f"{name}: calibration error", [one.ece for one in found], high=0.015, digits=4),
        measured(f"{name}: Brier score", [one.brier for one in found], digits=4),
        measured(f"{name}: the constant's", [one.constant for one in found], digits=4),
        measured(f"{name}: better by", better, low=1e-4, digits=4),
    ]


def main(argv: Sequence[str] = ()) -> bool:
    """Measure both in every draw and print them; whether all bounds hold."""
    draws = number_of_draws(argv, DRAWS, __doc__)
    clean = reference_table()
    fresh, unseen = [], []
    for seed in one_by_one("confidence, draw", range(draws)):
        scaled, _, log = scale_customers(clean, CONTRACT, ScalingOptions())
        X = scaled[log["features"]].to_numpy()
        fresh.append(held_against_refits(X, np.arange(len(X)), seed))
        rows, _ = train_test_split(np.arange(len(X)), test_size=HELD_OUT_SHARE, random_state=seed)
        _, learned, _ = scale_customers(clean.iloc[rows], CONTRACT, ScalingOptions())
        unseen.append(held_against_refits(learned["scaler.skops"].transform(clean), rows, seed))
    figures = [*figures_of("fresh resamples", fresh), *figures_of("customers never seen", unseen)]
    return tell(f"Confidence at k = {K}, {BINS} bins of equal count", figures)


if __name__ == "__main__":
    raise SystemExit(not main(sys.argv[1:]))
