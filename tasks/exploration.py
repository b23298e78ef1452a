"""What the table looks like, beside the main line: gaps, distributions, correlations.

Everything here is an aggregate: no cell stands for fewer than `min_cell` customers, and no
quantile lies outside 5 to 95 %.
"""

import numpy as np
import pandas as pd

from expectations.contract import Contract
from tasks.scaling import signed_log

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 30


def missing_values(raw: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Per column: rows missing and their share, most first."""
    missing = raw[list(contract.kept)].isna().sum().rename("rows")
    table = missing.rename_axis("column").reset_index()
    return table.assign(share=table["rows"] / max(len(raw), 1)).sort_values(
        "rows", ascending=False, ignore_index=True
    )


def distributions(raw: pd.DataFrame, contract: Contract, min_cell: int) -> pd.DataFrame:
    """Histogram cells of every number between its 5 and 95 % quantiles.

    Returns one row per (column, cell): `low, high` in the column's unit (cells of equal width
    after log1p where the contract takes logs), `rows`, and `density`; cells of fewer than
    `min_cell` customers are left empty.
    """
    parts = [
        _histogram(raw[name], name, contract.columns[name].is_logged, min_cell)
        for name in contract.numeric
    ]
    return pd.concat(parts, ignore_index=True)


def _histogram(values: pd.Series, name: str, logged: bool, min_cell: int) -> pd.DataFrame:
    finite = values[np.isfinite(values)].to_numpy(float)
    to_axis, from_axis = (signed_log, signed_exp) if logged else (np.copy, np.copy)
    low, high = to_axis(np.quantile(finite, [0.05, 0.95])) if len(finite) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    counts, _ = np.histogram(to_axis(finite), edges)
    counts = np.where(counts < min_cell, 0, counts)
    return pd.DataFrame(
        {
            "column": name,
            "low": from_axis(edges[:-1]),
            "high": from_axis(edges[1:]),
            "axis_low": edges[:-1],
            "axis_high": edges[1:],
            "rows": counts,
            "density": counts / max(counts.sum(), 1) / np.diff(edges),
        }
    )


def signed_exp(values: np.ndarray) -> np.ndarray:
    """The inverse of `scaling.signed_log`."""
    return np.sign(values) * np.expm1(np.abs(values))


def quantiles(raw: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Per number: quantiles from 5 to 95 %, mean, and the share of zeros."""
    numbers = raw[list(contract.numeric)]
    table = numbers.quantile(list(QUANTILES)).T
    table.columns = [f"q{quantile * 100:02.0f}" for quantile in QUANTILES]
    return table.assign(mean=numbers.mean(), zeros=(numbers == 0).mean()).rename_axis("column")


def correlations(raw: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Spearman correlations between all numbers, (n_columns, n_columns), named by `column`."""
    table = raw[list(contract.numeric)].rank().corr()
    return table.rename_axis("column").reset_index()
