"""Customers in segments that are known, because they were planted."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist

from expectations.contract import Contract

ID = "customer"


def contract_of(*columns: str, kind: str = "score", **more: object) -> Contract:
    """A contract of these columns, all of one kind."""
    given = {
        "name": "planted",
        "id": {"column": ID},
        "columns": {c: {"kind": kind} for c in columns},
    }
    return Contract.model_validate({**given, **more})


CONTRACT = contract_of("a", "b", "c", "noise")


def planted_segments(
    *sizes: int, spread: float = 0.6, seed: int = 0
) -> tuple[pd.DataFrame, np.ndarray]:
    """Up to eight segments of these sizes around the corners of a cube, in mixed order.

    Returns the `scaled` table (the id and four features, the last of them noise) and the planted
    segment of every row. The corners lie ten `spread` and more apart.
    """
    rng = np.random.default_rng(seed)
    corners = 3.0 * np.array([[i >> 2 & 1, i >> 1 & 1, i & 1, 0.5] for i in range(8)]) * 2 - 3
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = corners[truth] + rng.normal(0, spread, (len(truth), 4))
    scaled = pd.DataFrame(X, columns=["a", "b", "c", "noise"])
    scaled.insert(0, ID, [f"K{row:05d}" for row in range(len(scaled))])
    return scaled, truth


class Mixture(NamedTuple):
    """Customers of a Gaussian mixture, their segment, who is ordinary, and how near two lie."""

    clean: pd.DataFrame
    contract: Contract
    truth: np.ndarray
    ordinary: np.ndarray
    nearest: float


def planted_mixture(
    k: int,
    seed: int,
    log: bool = False,
    rows: int = 3000,
    nearest: float | None = None,
    outliers: float = 0.05,
) -> Mixture:
    """A mixture of k Gaussians in eight columns, as amounts (`log`) or as scores.

    Unequal sizes, the smallest 6 %; centres are drawn from a normal of three times the spread
    until no two lie nearer than 4 standard deviations (or moved together until the nearest two lie
    `nearest` apart); of `outliers`, a customer in twenty, the spread is three times
    as large.
    """
    rng = np.random.default_rng([seed, k])
    more = rng.dirichlet(np.full(k - 1, 3.0)) * (1 - 0.06 * k)
    counts = np.round((0.06 + np.append(more, 0)) * rows).astype(int)
    counts[0] += rows - counts.sum()
    centres = rng.normal(0, 3, (k, 8))
    while pdist(centres).min() < 4:
        centres = rng.normal(0, 3, (k, 8))
    centres *= nearest / pdist(centres).min() if nearest else 1
    truth = rng.permutation(np.repeat(np.arange(k), counts))
    ordinary = rng.random(rows) >= outliers
    X = centres[truth] + rng.normal(size=(rows, 8)) * np.where(ordinary, 1, 3)[:, None]
    values = np.exp(6 + 0.3 * X) if log else X
    contract = contract_of(*(f"c{number}" for number in range(8)), kind="money" if log else "score")
    clean = pd.DataFrame(values, columns=list(contract.columns))
    clean.insert(0, ID, [f"K{row:05d}" for row in range(rows)])
    return Mixture(clean, contract, truth, ordinary, float(pdist(centres).min()))


def unstructured(kind: str, seed: int, rows: int = 3000) -> pd.DataFrame:
    """The `scaled` table of permuted, uniform or normal customers, of whom none belong together."""
    rng = np.random.default_rng([seed, len(kind)])
    if kind == "permuted":
        mixture = planted_mixture(5, seed, rows=rows)
        X = rng.permuted(mixture.clean.drop(columns=ID).to_numpy(), axis=0)
    else:
        X = rng.uniform(size=(rows, 8)) if kind == "uniform" else rng.normal(size=(rows, 8))
    scaled = pd.DataFrame((X - X.mean(axis=0)) / X.std(axis=0), columns=[f"c{i}" for i in range(8)])
    scaled.insert(0, ID, [f"K{row:05d}" for row in range(rows)])
    return scaled
