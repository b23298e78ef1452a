"""One month's table beside another's: whose numbers changed, and how far a column has shifted."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

EMPTY = 1e-4  # what a bin without customers counts as, so that its logarithm is finite


def row_hashes(table: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """A hash (int64) of each row's numbers, the same in every process and on every machine.

    Only the numbers and the order of `columns` count: a missing one equals a missing one, -0.0
    equals 0.0, and 2 equals 2.0. Two different rows have the same hash once in 2**64 pairs.
    """
    numbers = table[list(columns)].to_numpy(dtype="float64", na_value=np.nan) + 0.0  # no -0.0
    numbers = np.where(np.isnan(numbers), np.nan, numbers)  # one NaN: not every pandas sees to it
    hashes = pd.util.hash_pandas_object(pd.DataFrame(numbers), index=False)
    return pd.Series(hashes.to_numpy("uint64").view("int64"), index=table.index)


def changed_numbers(
    table: pd.DataFrame, id_column: str, numbers: Sequence[str], hashes: pd.Series
) -> np.ndarray:
    """1.0 for a customer whose numbers changed, 0.0 for one as before, NaN for one not known.

    `hashes` are the `row_hashes` of the month before, by customer id.
    """
    # by position: mapped by id, hashes would become floats and lose their last digits
    at = hashes.index.get_indexer(pd.Index(table[id_column]))
    known = at >= 0
    changed = np.full(len(table), np.nan)
    now = row_hashes(table, numbers).to_numpy()
    changed[known] = now[known] != hashes.to_numpy("int64")[at[known]]
    return changed


def bins_of(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """The bin of each value: 0 up to the first edge, itself included, and so on."""
    return np.searchsorted(np.asarray(edges, float), values, side="left")


def bin_shares(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """Share of the values in each bin, (n_edges + 1,); `values` has no gap and is not empty."""
    return np.bincount(bins_of(values, edges), minlength=len(edges) + 1) / len(values)


def log_ratios(then: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Logarithm of each bin's share now over its share then; an empty bin counts as `EMPTY`."""
    return np.log(np.maximum(now, EMPTY) / np.maximum(then, EMPTY))


def population_stability(then: ArrayLike, now: ArrayLike) -> float:
    """The population stability index of two distributions over the same bins.

    Sum of (now - then) * ln(now / then), never below 0; under .1 is usually called stable, above
    .25 shifted (Siddiqi 2006, "Credit risk scorecards"; for its distribution Yurdakul 2018,
    "Statistical properties of population stability index"). Inside the logarithm an empty bin
    counts as one customer in ten thousand.
    """
    before, after = np.asarray(then, float), np.asarray(now, float)
    return float((after - before) @ log_ratios(before, after))
