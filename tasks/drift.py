"""How far customers and segments have come, in effect sizes.

No p-values: the same customers in overlapping windows are not two samples.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from expectations.comparing import bin_shares, population_stability
from expectations.contract import Contract
from tasks.scaling import business_columns

__all__ = [
    "birth_of",
    "distance_from_birth",
    "drift_of",
    "moved_most",
    "not_compared",
    "population_stability",
    "reference_of",
    "segment_drift",
]

BINS = 10
CUSTOMERS_PER_BIN = 50  # with fewer, chance alone gives a PSI of more than .1 now and then
MOST_TOLD = 3

Reference = Mapping[str, Any]


def reference_of(clean: pd.DataFrame, contract: Contract, segment: pd.Series) -> dict[str, Any]:
    """What later months are compared with; plain JSON values, no customer's data.

    Parameters
    ----------
    clean : DataFrame
        One row per customer, with the contract's columns; gaps are left out.
    contract : Contract
        Names the columns with numbers.
    segment : Series
        Segment ids of the same customers in the same order.

    Returns
    -------
    dict
        `columns`: by name `edges` (inner edges of the bins: deciles) and `shares` of the bins,
        in the column's own unit; `mean` and `sd` after the transform of `business_columns`, and
        `logged`, whether that was a logarithm. `segments`: by id each column's mean, transformed.
        A column without a single value is not in it.
    """
    logged = business_columns(clean, contract)
    known = [name for name in contract.numeric if clean[name].notna().any()]
    return {
        "columns": {name: _reference_of(clean[name], logged[name], contract) for name in known},
        "segments": {
            str(id_): {str(name): float(mean) for name, mean in line.dropna().items()}
            for id_, line in _means(logged[known], segment).iterrows()
        },
    }


def _reference_of(column: pd.Series, logged: pd.Series, contract: Contract) -> dict[str, Any]:
    values = column.dropna().to_numpy(float)
    edges = bin_edges(values)
    return {
        "edges": edges,
        "shares": bin_shares(values, edges).tolist(),
        "mean": float(logged.mean()),
        "sd": _spread(logged),
        "logged": contract.columns[str(column.name)].is_logged,
    }


def bin_edges(values: np.ndarray) -> list[float]:
    """Inner edges of the bins: deciles, once each.

    A value that fills a bin by itself (a zero, a maximum) has a bin of its own. Of a small table
    there are fewer bins, so that a PSI is not made of chance.
    """
    bins = int(np.clip(len(values) // CUSTOMERS_PER_BIN, 2, BINS))
    cuts = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
    distinct, times = np.unique(cuts, return_counts=True)
    below = np.nextafter(distinct[times > 1], -np.inf)
    return np.unique(np.concatenate([distinct, below])).tolist()


def not_compared(reference: Reference, contract: Contract) -> dict[str, list[str]]:
    """Columns of which nothing can be said: `gone` since the reference, and `new`.

    One whose kind changed so that it is transformed otherwise is both.
    """
    same = set(_comparable(reference, contract))
    return {
        "gone": [name for name in reference["columns"] if name not in same],
        "new": [name for name in contract.numeric if name not in same],
    }


def _comparable(reference: Reference, contract: Contract) -> list[str]:
    then = reference["columns"]
    return [
        name
        for name in contract.numeric
        if name in then and then[name]["logged"] == contract.columns[name].is_logged
    ]


def drift_of(reference: Reference, clean: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """How far each column has shifted since the reference.

    Returns
    -------
    DataFrame
        `column`; `psi`, the population stability index; `shift`, the difference of the means
        (transformed) in standard deviations of the reference, null where it had none. Columns of
        `not_compared` are not in it.
    """
    logged = business_columns(clean, contract)
    lines = [
        {"column": name, **_shift_of(reference["columns"][name], clean[name], logged[name])}
        for name in _comparable(reference, contract)
    ]
    types = {"column": "str", "psi": "float64", "shift": "float64"}
    return pd.DataFrame(lines, columns=list(types)).astype(types)


def _shift_of(then: Mapping[str, Any], column: pd.Series, logged: pd.Series) -> dict[str, float]:
    values = column.dropna().to_numpy(float)
    if not len(values):
        return {"psi": np.nan, "shift": np.nan}
    psi = population_stability(then["shares"], bin_shares(values, then["edges"]))
    return {"psi": psi, "shift": (logged.mean() - then["mean"]) / (then["sd"] or np.nan)}


def segment_drift(
    reference: Reference, clean: pd.DataFrame, contract: Contract, segment: pd.Series
) -> pd.DataFrame:
    """How far each segment has come since the reference, (n_segments, n_columns).

    The difference of a segment's means (transformed) in standard deviations of all customers of
    the reference. A line per segment that both months have, a column per column compared.
    """
    names = _comparable(reference, contract)
    now = _means(business_columns(clean, contract)[names], segment)
    then = pd.DataFrame.from_dict(reference["segments"], orient="index").reindex(columns=names)
    both = [id_ for id_ in now.index if id_ in then.index]
    sd = pd.Series(
        {name: reference["columns"][name]["sd"] or np.nan for name in names}, dtype=float
    )
    return (now.loc[both] - then.loc[both]) / sd


def profiles_of(
    reference: Reference, clean: pd.DataFrame, contract: Contract, segment: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The segments' means now and in the reference, in units that compare.

    Two tables, a line per segment and a column per column that both months have: the means
    (transformed), in standard deviations of all customers of the reference.
    """
    names = _comparable(reference, contract)
    now = _means(business_columns(clean, contract)[names], segment)
    then = pd.DataFrame.from_dict(reference["segments"], orient="index").reindex(columns=names)
    columns = reference["columns"]
    mean = pd.Series({name: columns[name]["mean"] for name in names}, dtype=float)
    sd = pd.Series({name: columns[name]["sd"] or np.nan for name in names}, dtype=float)
    return (now - mean) / sd, (then - mean) / sd


def moved_most(drift: pd.DataFrame, most: int = MOST_TOLD) -> list[dict[str, Any]]:
    """The columns in which each segment has come farthest, the farthest first.

    Parameters
    ----------
    drift : DataFrame
        As from `segment_drift`.
    most : int
        Columns per segment.

    Returns
    -------
    list of dict
        `segment, column, shift, says`; what rounds to no shift is left out.
    """
    told = []
    for id_, line in drift.iterrows():
        shifts = line.dropna().round(2)
        farthest = shifts.abs().sort_values(ascending=False, kind="stable").index[:most]
        told += [_told(str(id_), str(name), float(shifts[name])) for name in farthest]
    return [one for one in told if one["shift"]]


def _told(segment: str, column: str, shift: float) -> dict[str, Any]:
    way = "up" if shift > 0 else "down"
    says = f"{column} {way} by {abs(shift):.2f} sd"
    return {"segment": segment, "column": column, "shift": shift, "says": says}


def birth_of(
    clean: pd.DataFrame, contract: Contract, segment: pd.Series
) -> dict[str, dict[str, list[float]]]:
    """What each segment is like at its birth: by id and column its mean and all customers' sd.

    Both transformed as in `business_columns`; JSON values. Arguments as of `reference_of`.
    """
    logged = business_columns(clean, contract)
    sd = {str(name): _spread(logged[name]) for name in logged}
    return {
        str(id_): {str(name): [float(mean), sd[str(name)]] for name, mean in line.dropna().items()}
        for id_, line in _means(logged, segment).iterrows()
    }


def distance_from_birth(
    births: Mapping[str, Mapping[str, list[float]]],
    clean: pd.DataFrame,
    contract: Contract,
    segment: pd.Series,
) -> pd.Series:
    """How far each of this month's segments has come from its birth, by id.

    Root mean square over columns of the difference of the means, in standard deviations at
    birth. Columns that were constant then, or that one of the two months has not, are left out;
    null where none is left or no birth is known.
    """
    now = _means(business_columns(clean, contract), segment)
    distances = {
        str(id_): _distance(births.get(str(id_), {}), line) for id_, line in now.iterrows()
    }
    return pd.Series(distances, dtype=float, name="from_birth")


def _distance(birth: Mapping[str, list[float]], now: pd.Series) -> float:
    both = {name: birth[name] for name in birth if name in now.index}
    gone = pd.Series({name: (now[name] - mean) / sd for name, (mean, sd) in both.items() if sd})
    return float(np.sqrt(np.square(gone.astype(float)).mean()))


def _spread(column: pd.Series) -> float:
    """Standard deviation; of a constant exactly 0, which rounding may miss."""
    return float(column.std(ddof=0)) if column.max() > column.min() else 0.0


def _means(logged: pd.DataFrame, segment: pd.Series) -> pd.DataFrame:
    """Mean of each column per segment, (n_segments, n_columns); who has none is left out."""
    return logged.groupby(segment.astype("str").to_numpy()).mean()
