"""Maps: where the segments lie on two coordinates, as density and never as single customers.

Two coordinates lose most of what tells segments apart, so a map illustrates and proves nothing:
each says how much of the customers' variance it shows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from tasks.seeds import child_seed

CELLS_ACROSS, CELLS_UP = 60, 40  # at most
PER_CELL = 8  # customers, were they spread evenly: few customers get a coarser grid
EDGES = (0.01, 0.99)  # quantiles between which the grid lies
FIT_ROWS = 10_000  # customers from whom the network learns
ALIKE = 6  # decimals of a correlation; which of two equal ones leads must not hang on rounding


class Coordinates(NamedTuple):
    """Two coordinates per customer, and how much they show.

    Parameters
    ----------
    Z : ndarray, (n_customers, 2)
        The coordinates, the first with the larger spread.
    explained : tuple of float
        Of `principal_map` each component's share of variance; of `network_map` the share of
        held-out variance that the network rebuilds from its two numbers, and that PCA does.
    """

    Z: np.ndarray
    explained: tuple[float, float]


def principal_map(scaled: pd.DataFrame, features: Sequence[str]) -> Coordinates:
    """The first two principal components of the scaled features."""
    X = scaled[list(features)].to_numpy(float)  # (n_customers, n_features)
    pca = PCA(min(2, X.shape[1]), svd_solver="covariance_eigh").fit(X)
    first, second = [*pca.explained_variance_ratio_, 0.0][:2]
    return Coordinates(_upright(pca.transform(X), X), (float(first), float(second)))


def network_map(scaled: pd.DataFrame, features: Sequence[str], seed: int) -> Coordinates:
    """The code of an autoencoder with a code of two numbers, turned to its principal axes.

    The code's own axes are an accident of the random start; which customers it is trained on is
    drawn from the seed, and the order of the rows plays no part.
    """
    from tasks.autoencoder import Autoencoder

    X = scaled[list(features)].to_numpy(float)  # (n_customers, n_features)
    ordered = X[np.lexsort(X.T)]
    random_state = child_seed(seed, "map")
    drawn = np.random.default_rng(random_state).permutation(len(X))[:FIT_ROWS]
    network = Autoencoder(width=2, n_networks=1, random_state=random_state)
    code = network.fit(ordered[np.sort(drawn)]).encode(X)  # (n_customers, 2)
    turned = PCA(code.shape[1], svd_solver="covariance_eigh").fit_transform(code)
    explained = (1 - network.reconstruction_error_, 1 - network.pca_error_)
    return Coordinates(_upright(turned, X), explained)


def _upright(Z: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Z, (n_customers, 1 or 2), each axis rising with the feature that it follows most.

    A missing second axis is 0 for everyone.
    """
    deviations = X - X.mean(axis=0)
    spread = np.linalg.norm(deviations, axis=0)
    together = (Z - Z.mean(axis=0)).T @ (deviations / np.where(spread > 0, spread, 1))
    scale = np.abs(together).max(axis=1, keepdims=True)
    followed = np.round(together / np.where(scale > 0, scale, 1), ALIKE)  # (1 or 2, n_features)
    leading = np.abs(followed).argmax(axis=1)
    signs = np.sign(followed[np.arange(len(followed)), leading])
    return np.pad(Z * np.where(signs < 0, -1, 1), [(0, 0), (0, 2 - Z.shape[1])])


def map_cells(Z: np.ndarray, segment: pd.Series, min_cell: int) -> pd.DataFrame:
    """A grid between the 1 and 99 % quantiles of Z, (n_customers, 2).

    Parameters
    ----------
    Z : ndarray, (n_customers, 2)
        Two coordinates per customer.
    segment : Series of str
        The segment of each customer, in the same order.
    min_cell : int
        Cells of fewer customers are left out.

    Returns
    -------
    DataFrame
        One row per cell: `x_low, x_high, y_low, y_high`; the `segment` to which most of its
        customers belong, and their `share` (null where it would tell of few others); its
        `customers`; and the `density`, their share of all customers per unit of area.
    """
    ids = _by_falling_size(segment)
    position = pd.Index(ids).get_indexer(pd.Index(segment))
    edges = [*_edges(Z), np.arange(len(ids) + 1) - 0.5]
    counts, _ = np.histogramdd(np.column_stack([Z, position]), edges)  # (n_x, n_y, k)
    customers, most = counts.sum(axis=2), counts.max(axis=2)
    x, y = np.nonzero(customers >= max(min_cell, 1))
    others = customers - most
    is_told = (most >= min_cell) & ((others == 0) | (others >= min_cell))
    cells = pd.DataFrame(
        {
            "x_low": edges[0][x],
            "x_high": edges[0][x + 1],
            "y_low": edges[1][y],
            "y_high": edges[1][y + 1],
            "segment": np.array(ids, dtype=object)[counts.argmax(axis=2)[x, y]],
            "share": np.where(is_told, most / np.maximum(customers, 1), np.nan)[x, y],
            "customers": customers[x, y].astype(int),
        }
    )
    area = (cells["x_high"] - cells["x_low"]) * (cells["y_high"] - cells["y_low"])
    return cells.assign(density=cells["customers"] / len(Z) / area)


def _by_falling_size(segment: pd.Series) -> list[str]:
    """The ids, so that the larger of two segments with as many customers in a cell has it."""
    sizes = segment.value_counts().sort_index()
    return list(sizes.sort_values(ascending=False, kind="stable").index)


def _edges(Z: np.ndarray) -> list[np.ndarray]:
    """The grid's lines, (n_x + 1,) and (n_y + 1,)."""
    n_cells = len(Z) / PER_CELL
    fineness = min(1.0, float(np.sqrt(n_cells / (CELLS_ACROSS * CELLS_UP))))
    lines = []
    for values, most in zip(Z.T, (CELLS_ACROSS, CELLS_UP), strict=True):
        low, high = np.quantile(values, EDGES)
        low, high = (low, high) if high > low else (low - 0.5, low + 0.5)
        lines.append(np.linspace(low, high, max(1, round(fineness * most)) + 1))
    return lines


def map_centres(Z: np.ndarray, segment: pd.Series, min_cell: int) -> pd.DataFrame:
    """Where each segment of at least `min_cell` customers has its middle.

    Returns one row per segment: `segment`, the medians `x, y` of its coordinates in Z,
    (n_customers, 2), and its `customers`.
    """
    placed = pd.DataFrame(Z, columns=["x", "y"]).groupby(segment.to_numpy())
    centres = placed.median().assign(customers=placed.size())
    told = centres[centres["customers"] >= min_cell]
    return told.rename_axis("segment").reset_index()
