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


def missing_values(raw: pd.DataFrame, contract: Contract, min_cell: int = 5) -> pd.DataFrame:
    """Per column: rows missing, their share, and the count as it may be shown; most first.

    Where fewer than `min_cell` rows are missing, but some, `rows` and `share` are null.
    """
    missing = raw[list(contract.kept)].isna().sum().sort_values(ascending=False, kind="stable")
    rows = missing.astype("Int64").mask(missing.between(1, min_cell - 1))
    return pd.DataFrame(
        {
            "column": missing.index,
            "rows": rows.array,
            "share": rows.astype(float).to_numpy() / max(len(raw), 1),
            "shown": [f"< {min_cell}" if pd.isna(n) else f"{n:,}" for n in rows],
        }
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
    finite = values[np.isfinite(values)].to_numpy(float)  # null is not finite either
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
    """Per number: quantiles from 5 to 95 %, mean, and the share of zeros, of what is finite."""
    numbers = raw[list(contract.numeric)].replace([np.inf, -np.inf], np.nan)
    table = numbers.quantile(list(QUANTILES)).T
    table.columns = [f"q{quantile * 100:02.0f}" for quantile in QUANTILES]
    zeros = (numbers == 0).sum() / numbers.notna().sum()
    return table.assign(mean=numbers.mean(), zeros=zeros).rename_axis("column").reset_index()


def correlations(raw: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Spearman correlations between all numbers, (n_columns, n_columns), named by `column`.

    Of two columns, the rows count where both are known.
    """
    table = raw[list(contract.numeric)].corr("spearman")
    return table.rename_axis("column").reset_index()
