"""Count how often planted segments are found, and noise refused: ``python -m tests.audits.truth``.

Mixtures of 3, 5 and 9 segments, as scores and as amounts, go through the filters; noise is given
to the rule for k behind them. Noise that has the reference table's correlations, or its
marginals too, is counted and nothing is asked: a bent cloud can be cut repeatably.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from sklearn.metrics import adjusted_rand_score

from tasks.kmeans import published_kmeans
from tasks.redrawing import correlations, redraw_by_scores, redraw_like
from tasks.scaling import ScalingOptions, scale_customers
from tests.audits.common import (
    WIDTH,
    Figure,
    counted,
    k_in_words,
    measured,
    number_of_draws,
    one_by_one,
    reference_table,
    selection,
    tallied,
    tell,
)
from tests.audits.judges import CONTRACT
from tests.planted import ID, Mixture, contract_of, planted_mixture, unstructured

DRAWS = 20
KS = (3, 5, 9)
ALIKE = 0.95  # in the mean: beside a segment of 70 %, K-means cuts one of 6 % a little too large
OTHER_SEEDS = 1000  # amounts are drawn under seeds of their own
NOISE = ("permuted", "uniform", "normal")

Noise = Callable[[int], pd.DataFrame]  # seed -> the `scaled` table


class Found(NamedTuple):
    """What was chosen in a planted mixture, and how well it agrees with the truth."""

    k: int | None
    ari: float


def found_in(mixture: Mixture, seed: int) -> Found:
    """Choose k through the filters; agreement is that of the ordinary customers."""
    scaled = scale_customers(mixture.clean, mixture.contract, ScalingOptions()).table
    k = selection(scaled, mixture.clean, mixture.contract, seed).log["k"]
    if k is None:
        return Found(None, 0.0)
    X = scaled.drop(columns=ID).to_numpy()
    labels = published_kmeans(X, k, seed, "none").predict(X)
    ordinary = mixture.ordinary
    return Found(k, float(adjusted_rand_score(mixture.truth[ordinary], labels[ordinary])))


def planted_figures(draws: int) -> list[Figure]:
    """How often each k was recovered, and the agreement where it was."""
    figures, hits, everyone = [], [], []
    for k, log in product(KS, (False, True)):
        name = f"{k} segments, {'amounts' if log else 'scores'}"
        seeds = [OTHER_SEEDS * log + draw for draw in range(draws)]
        found = [found_in(planted_mixture(k, s, log), s) for s in one_by_one(name, seeds)]
        right = [one.k == k for one in found]
        agreement = [one.ari for one in found if one.k == k]
        tally = tallied([str(one.k or "none") for one in found])
        figures += [
            counted(f"{name}: k recovered ({tally})", right, least=(18, 20)),
            measured(f"{name}: ARI where k is right", agreement, low=ALIKE),
        ]
        hits += right
        everyone += agreement
    return [
        *figures,
        counted("all: k recovered", hits, least=(114, 120)),
        measured("all: ARI where k is right", everyone, low=ALIKE),
        counted(f"all: ARI of {ALIKE} or more where k is right", [a >= ALIKE for a in everyone]),
    ]


def close_figures(draws: int) -> list[Figure]:
    """The same where the nearest two centres lie 4 apart exactly; nothing is asked of it."""
    figures = []
    for k in KS:
        name = f"{k} segments, the nearest two 4 apart"
        seeds = one_by_one(name, range(draws))
        found = [found_in(planted_mixture(k, s, nearest=4), s) for s in seeds]
        tally = tallied([str(one.k or "none") for one in found])
        agreement = [one.ari for one in found if one.k == k]
        figures += [
            counted(f"{name}: k recovered ({tally})", [one.k == k for one in found]),
            measured(f"{name}: ARI where k is right", agreement),
        ]
    return figures


def nearest_pairs(draws: int) -> list[Figure]:
    """How far apart the nearest two centres lie, in standard deviations of a segment."""
    return [
        measured(
            f"{k} segments: the nearest two centres",
            [planted_mixture(k, seed).nearest for seed in range(draws)],
            digits=1,
        )
        for k in KS
    ]


def correlated_gaussian(X: np.ndarray, seed: int) -> np.ndarray:
    """One normal cloud with the correlations of X, (n, p)."""
    rng = np.random.default_rng(seed)
    return rng.multivariate_normal(np.zeros(X.shape[1]), correlations(X), len(X))


def table_like(X: np.ndarray) -> pd.DataFrame:
    """The `scaled` table of the rows of X, (n, p)."""
    columns = [f"c{number}" for number in range(X.shape[1])]
    scaled = pd.DataFrame((X - X.mean(axis=0)) / X.std(axis=0), columns=columns)
    scaled.insert(0, ID, [f"K{row:05d}" for row in range(len(X))])
    return scaled


def like_the_reference() -> Mapping[str, Noise]:
    """Noise that has something of the reference table."""
    X = scale_customers(reference_table(), CONTRACT, ScalingOptions()).table
    X = X.drop(columns=CONTRACT.id.column).to_numpy()
    return {
        "correlated Gaussian": lambda seed: table_like(correlated_gaussian(X, seed)),
        "copula, correlations matched": lambda seed: table_like(
            redraw_like(X, np.random.default_rng(seed))
        ),
        "copula of normal scores": lambda seed: table_like(
            redraw_by_scores(X, np.random.default_rng(seed))
        ),
    }


def refused(name: str, noise: Noise, draws: int, is_asked: bool) -> Figure:
    """How often no k is found where there is nothing to be found."""
    ks = []
    for seed in one_by_one(name, range(draws)):
        scaled = noise(seed)
        contract = contract_of(*scaled.columns.drop(ID))
        ks.append(k_in_words(selection(scaled, scaled, contract, seed)))
    hits = [k == "none" for k in ks]
    return counted(f"{name} ({tallied(ks)})", hits, least=(19, 20) if is_asked else None)


def unstructured_as(kind: str) -> Noise:
    """The noise that is called so."""
    return lambda seed: unstructured(kind, seed)


def main(argv: Sequence[str] = ()) -> bool:
    """Plant and look, then give noise; print both tables; whether all bounds hold."""
    draws = number_of_draws(argv, DRAWS, __doc__)
    like = like_the_reference()
    console = Console(width=WIDTH + 20)
    figures = [*nearest_pairs(draws), *planted_figures(draws), *close_figures(draws)]
    found = tell("Planted segments, 3,000 customers, 8 columns (k chosen: times)", figures, console)
    noise = [refused(kind, unstructured_as(kind), draws, is_asked=True) for kind in NOISE]
    noise += [refused(name, make, draws, is_asked=False) for name, make in like.items()]
    return tell("Noise refused by the rule for k (k chosen: times)", noise, console) and found


if __name__ == "__main__":
    raise SystemExit(not main(sys.argv[1:]))
