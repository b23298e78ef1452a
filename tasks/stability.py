"""How well a partition is found again when other customers had been drawn.

Each resample draws as many customers with replacement, refits scaler, space and K-means from the
start, and assigns all customers (Hennig 2007, "Cluster-wise assessment of cluster stability",
CSDA 52; assigning by the refitted centroids is Tibshirani and Walther 2005, "Cluster validation
by prediction strength", JCGS 14).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from tasks.embedding import EmbeddingOptions, embed, fit_space
from tasks.kmeans import fit_kmeans
from tasks.seeds import child_seed

FOUND_AGAIN = 0.75  # Hennig 2007, section 4: a valid, stable cluster has a Jaccard of .75 or more
STARTS = 10  # fewer understate stability: the search fails, not the segmentation

Refit = Callable[[np.ndarray, int], np.ndarray]


class Resample(NamedTuple):
    """What one resample says of a partition into k segments.

    `jaccard` (k,) is each segment's overlap with its best match, `stayed` (n_customers,) tells
    who was put into the matched segment, `left_out` (n_customers,) who was not drawn; `labels`
    (n_customers,) are the refit's own.
    """

    ari: float
    jaccard: np.ndarray
    stayed: np.ndarray
    left_out: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Stability:
    """What all resamples say of a partition; `asked` is how many there were to be."""

    resamples: tuple[Resample, ...]
    asked: int

    @property
    def ari(self) -> float:
        """Mean adjusted Rand index to the fit on all (Hubert and Arabie 1985)."""
        return float(np.mean([one.ari for one in self.resamples]))

    @property
    def jaccards(self) -> np.ndarray:
        """Overlap of each segment with its best match, (n_resamples, k)."""
        return np.array([one.jaccard for one in self.resamples])

    @property
    def found(self) -> np.ndarray:
        """In how many resamples each segment was found again, (k,)."""
        return np.count_nonzero(self.jaccards >= FOUND_AGAIN, axis=0)

    @property
    def survival(self) -> float:
        """Share of resamples in which the weakest segment was found again."""
        return float(self.found.min() / len(self.resamples))

    @property
    def stopped(self) -> bool:
        """Whether it had surely failed before all resamples were drawn."""
        return len(self.resamples) < self.asked

    def first(self, number: int) -> "Stability":
        """What the first so many resamples say."""
        return Stability(self.resamples[:number], min(number, self.asked))


def resample(
    refit: Refit,
    labels: np.ndarray,
    k: int,
    seed: int,
    numbers: Iterable[int],
    may_fail: int | None = None,
) -> tuple[Resample, ...]:
    """Draw resamples of the partition `labels`, (n_customers,), one after the other.

    Parameters
    ----------
    refit : callable
        `refit(drawn, number)` -> labels of all customers, fitted on the rows `drawn` alone.
    labels, k : ndarray, int
        The fit on all.
    seed : int
        Draws the customers: the same ones for every candidate of a run.
    numbers : iterable of int
        Which resamples.
    may_fail : int, optional
        It ends once a segment was missed more often than this.
    """
    told: list[Resample] = []
    missed = np.zeros(k, dtype=int)
    for number in numbers:
        rng = np.random.default_rng(child_seed(seed, "resample", number))
        drawn = rng.integers(0, len(labels), len(labels))
        told.append(compare(labels, refit(drawn, number), k, drawn))
        missed += told[-1].jaccard < FOUND_AGAIN
        if may_fail is not None and missed.max() > may_fail:
            break
    return tuple(told)


def compare(labels: np.ndarray, again: np.ndarray, k: int, drawn: np.ndarray) -> Resample:
    """Match the segments of a refit, `again`, with those of the fit on all, `labels`."""
    both = np.bincount(labels * k + again, minlength=k * k).reshape(k, k)
    either = both.sum(axis=1)[:, None] + both.sum(axis=0) - both
    matched = linear_sum_assignment(both, maximize=True)[1]  # (k,)
    left_out = np.ones(len(labels), dtype=bool)
    left_out[drawn] = False
    return Resample(
        ari=float(adjusted_rand_score(labels, again)),
        jaccard=(both / np.maximum(either, 1)).max(axis=1),
        stayed=matched[labels] == again,
        left_out=left_out,
        labels=again,
    )


def refitter(X: np.ndarray, space: str, k: int, options: EmbeddingOptions, seed: int) -> Refit:
    """Give the function that refits scaler, space and K-means on the rows drawn of X."""

    def refit(drawn: np.ndarray, number: int) -> np.ndarray:
        scaler = StandardScaler().fit(X[drawn])
        standard = scaler.transform(X)  # (n_customers, n_features)
        random_state = child_seed(seed, "stability", space, k, number)
        transformer = fit_space(space, standard[drawn], options, random_state)
        Z = embed(transformer, standard)  # (n_customers, n_dimensions)
        return refit_kmeans(Z, drawn, k, random_state)

    return refit


def refit_kmeans(Z: np.ndarray, drawn: np.ndarray, k: int, random_state: int) -> np.ndarray:
    """Labels of all rows of Z, (n_customers, n_dimensions), fitted on those drawn.

    A row drawn twice weighs twice: the same as fitting on the doubled rows, and a third quicker.
    """
    rows, times = np.unique(drawn, return_counts=True)
    fewer = min(k, len(rows))  # a handful of customers can be drawn as fewer still
    return fit_kmeans(Z[rows], fewer, random_state, n_init=STARTS, weights=times).predict(Z)
