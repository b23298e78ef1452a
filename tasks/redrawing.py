"""Customers redrawn: what a table would look like if nothing but its groups were true of it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy.stats import norm

ROUNDS = 5  # of matching correlations: the misfit halves twice, then stays

Redraw = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def redraw_within(
    X: np.ndarray, groups: np.ndarray, redraw: Redraw, rng: np.random.Generator
) -> np.ndarray:
    """X, (n_customers, n_features), redrawn within each group: nothing left but the groups.

    Groups of one or two say nothing of correlations and stay.
    """
    null = X.copy()
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        if len(rows) > 2:
            null[rows] = redraw(X[rows], rng)
    return null


def redraw_by_scores(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A table with the columns of X, (n, p), value for value, from a plain Gaussian copula.

    Its correlations are those of the normal scores (van der Waerden 1952), equal values ranked at
    random: too weak where many values are equal, so the excess over it is an upper figure.
    """
    n, p = X.shape
    ranks = np.argsort(np.lexsort((rng.random((n, p)), X), axis=0), axis=0)
    mixing = _root(correlations(norm.ppf((ranks + 0.5) / n)))
    drawn = np.empty_like(X)
    order = np.argsort(rng.normal(size=(n, p)) @ mixing.T, axis=0)
    np.put_along_axis(drawn, order, np.sort(X, axis=0), axis=0)
    return drawn


def redraw_like(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A table with the columns of X, (n, p), value for value, and their correlations.

    From a Gaussian copula. Its correlations, taken from the ranks of X, come out too weak where
    many values are equal, and every table would seem to have structure: so they are corrected
    until the table's are right (Cario and Nelson 1997, "Modeling and generating random vectors
    with arbitrary marginal distributions and correlation matrix"), or as near as can be.
    """
    n, p = X.shape
    target, in_order = correlations(X), np.sort(X, axis=0)
    noise = np.linalg.qr(rng.normal(size=(max(n, p + 2), p)))[0][:n]  # uncorrelated, (n, p)
    best, least, latent = X, np.inf, target
    for _ in range(ROUNDS):
        mixing = _root(latent)
        drawn = np.empty_like(X)
        np.put_along_axis(drawn, np.argsort(noise @ mixing.T, axis=0), in_order, axis=0)
        missed = target - correlations(drawn)
        if np.square(missed).sum() < least:
            best, least = drawn, np.square(missed).sum()
        latent = np.clip(mixing @ mixing.T + missed, -1, 1)
    return best


def correlations(X: np.ndarray) -> np.ndarray:
    """Correlations of the columns of X, (p, p); a constant column has none."""
    centred = X - X.mean(axis=0)
    length = np.sqrt(np.square(centred).sum(axis=0))
    scaled = centred / np.where(length > 1e-9, length, np.inf)
    together = scaled.T @ scaled
    np.fill_diagonal(together, 1)
    return together


def _root(wanted: np.ndarray) -> np.ndarray:
    """A with A @ A.T near the wanted correlations, (p, p); symmetric, so that it moves smoothly."""
    weights, axes = np.linalg.eigh(wanted)
    root = (axes * np.sqrt(np.maximum(weights, 1e-6))) @ axes.T
    return root / np.linalg.norm(root, axis=1, keepdims=True)


NULLS: Mapping[str, Redraw] = MappingProxyType(
    {"correlations matched": redraw_like, "normal scores": redraw_by_scores}
)
