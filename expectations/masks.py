"""The plain face of every test: which rows break it, or whether the table holds it.

Nulls break `not_null` and nothing else, so that each defect has one reason. A test that Great
Expectations cannot ask as it stands is asked there on a witness, a column derived from the table.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from expectations.comparing import bin_shares, bins_of, changed_numbers, log_ratios
from expectations.parts import anchored

Columns = tuple[str, ...]


# ---------------------------------------------------------------- row tests: which rows break it
def _null(table: pd.DataFrame, columns: Columns) -> pd.Series:
    return table[columns[0]].isna()


def _outside(table: pd.DataFrame, columns: Columns, low: float, high: float) -> pd.Series:
    values = table[columns[0]]
    return (values < low) | (values > high)


def _fraction(table: pd.DataFrame, columns: Columns) -> pd.Series:
    return _distance_to_whole(table, columns) > 0


def _doubled(table: pd.DataFrame, columns: Columns) -> pd.Series:
    values = table[columns[0]]
    return values.duplicated(keep=False) & values.notna()


def _malformed(table: pd.DataFrame, columns: Columns, pattern: str) -> pd.Series:
    values = table[columns[0]].astype(object)
    return ~values.astype(str).str.match(anchored(pattern)) & values.notna()


def _not_among(table: pd.DataFrame, columns: Columns, values: tuple) -> pd.Series:
    found = table[columns[0]]
    return ~found.isin(list(values)) & found.notna()


def _unread(table: pd.DataFrame, columns: Columns, column: str) -> pd.Series:
    return _was_unread(table, columns, column) > 0


def _adds_up_to_else(table: pd.DataFrame, columns: Columns, tolerance: float) -> pd.Series:
    return _residual(table, columns) > tolerance


def _apart(table: pd.DataFrame, columns: Columns) -> pd.Series:
    positive = _positive(table, columns)
    return (positive > 0) & (positive < len(columns))


def _exceeds(table: pd.DataFrame, columns: Columns, factor: float) -> pd.Series:
    smaller, larger = columns
    return table[smaller] > factor * table[larger]


def _differs(table: pd.DataFrame, columns: Columns, values: pd.Series) -> pd.Series:
    return _mismatch(table, columns, values) > 0


def _outside_where(table: pd.DataFrame, columns: Columns, low: float, high: float) -> pd.Series:
    values = _where(table, columns)
    return (values < low) | (values > high)


def _rare(table: pd.DataFrame, columns: Columns, low: float) -> pd.Series:
    return _share_of_its_value(table, columns) < low


ROW_TESTS: Mapping[str, Callable[..., pd.Series]] = {
    "not_null": _null,
    "between": _outside,
    "whole": _fraction,
    "unique": _doubled,
    "matches": _malformed,
    "one_of": _not_among,
    "readable": _unread,
    "sum": _adds_up_to_else,
    "together": _apart,
    "at_most": _exceeds,
    "equals": _differs,
    "between_where": _outside_where,
    "common": _rare,
}


# ------------------------------------------- witnesses: columns derived for Great Expectations
def _distance_to_whole(table: pd.DataFrame, columns: Columns) -> pd.Series:
    values = table[columns[0]].astype(float)
    return (values - values.round()).abs()


def _was_unread(table: pd.DataFrame, columns: Columns, column: str) -> pd.Series:
    texts = table[columns[0]]
    noted = texts.notna().to_numpy()
    unread = np.zeros(len(table))
    unread[noted] = [not {column, "*"}.isdisjoint(json.loads(text)) for text in texts[noted]]
    return pd.Series(unread, index=table.index)


def _residual(table: pd.DataFrame, columns: Columns, **_: float) -> pd.Series:
    total, *parts = columns
    return (table[total] - table[parts].sum(axis=1, skipna=False)).abs()


def _positive(table: pd.DataFrame, columns: Columns) -> pd.Series:
    known = table[list(columns)].notna().all(axis=1)
    positive = (table[list(columns)] > 0).sum(axis=1).astype(float)
    return positive.where(known)


def _excess(table: pd.DataFrame, columns: Columns, factor: float) -> pd.Series:
    smaller, larger = columns
    return table[smaller] - factor * table[larger]


def _mismatch(table: pd.DataFrame, columns: Columns, values: pd.Series) -> pd.Series:
    found, wanted = table[columns[0]].to_numpy(object), values.to_numpy(object)
    if len(found) != len(wanted):
        return pd.Series(1.0, index=table.index)
    return pd.Series((found != wanted).astype(float), index=table.index)


def _where(table: pd.DataFrame, columns: Columns, **_: float) -> pd.Series:
    value, condition = columns
    return table[value].where(table[condition].astype(bool))


def _share_of_its_value(table: pd.DataFrame, columns: Columns, **_: float) -> pd.Series:
    values = table[columns[0]]
    return values.map(values.value_counts(normalize=True)).astype(float)


def _is_null(table: pd.DataFrame, columns: Columns, **_: float) -> pd.Series:
    return table[columns[0]].isna().astype(float)


def _as_number(table: pd.DataFrame, columns: Columns, **_: float) -> pd.Series:
    return table[columns[0]].astype(float)


def _part_of_shift(
    table: pd.DataFrame, columns: Columns, edges: Sequence[float], shares: Sequence[float], **_: Any
) -> pd.Series:
    """A column whose mean is the population stability index against `shares`."""
    values = table[columns[0]].astype(float)
    known = values.notna().to_numpy()
    parts = np.full(len(table), np.nan)
    if known.any():
        numbers, then = values[known].to_numpy(), np.asarray(shares, float)
        ratios = log_ratios(then, bin_shares(numbers, edges))
        parts[known] = ratios[bins_of(numbers, edges)] - then @ ratios
    return pd.Series(parts, index=table.index)


def _has_changed(table: pd.DataFrame, columns: Columns, hashes: pd.Series, **_: float) -> pd.Series:
    id_column, *numbers = columns
    changed = changed_numbers(table, id_column, numbers, hashes)
    nobody = np.isnan(changed).all()  # is known, so nobody can be unchanged
    return pd.Series(1.0 if nobody else changed, index=table.index)


WITNESSES: Mapping[str, Callable[..., pd.Series]] = {
    "flagged": _as_number,
    "whole": _distance_to_whole,
    "readable": _was_unread,
    "sum": _residual,
    "together": _positive,
    "at_most": _excess,
    "equals": _mismatch,
    "between_where": _where,
    "common": _share_of_its_value,
    "null_share": _is_null,
    "psi": _part_of_shift,
    "changed": _has_changed,
}


# ------------------------------------------------------------- table tests: whether they hold
def _has_columns(table: pd.DataFrame, columns: Columns) -> bool:
    return tuple(table.columns) == columns


def _has_type(table: pd.DataFrame, columns: Columns, types: tuple[str, ...]) -> bool:
    return str(table[columns[0]].dtype) in types


def _row_count(table: pd.DataFrame, columns: Columns, low: int, high: int | None = None) -> bool:
    return low <= len(table) and (high is None or len(table) <= high)


def _distinct(table: pd.DataFrame, columns: Columns, low: int, high: int | None = None) -> bool:
    found = table[columns[0]].nunique()
    return low <= found and (high is None or found <= high)


def _null_share(table: pd.DataFrame, columns: Columns, high: float) -> bool:
    return bool(_is_null(table, columns).mean() <= high)


def _mean(table: pd.DataFrame, columns: Columns, low: float, high: float) -> bool:
    return bool(low <= table[columns[0]].mean() <= high)


def _flagged(table: pd.DataFrame, columns: Columns, low: float, high: float) -> bool:
    return bool(low <= _as_number(table, columns).mean() <= high)


def _deviation(table: pd.DataFrame, columns: Columns, low: float, high: float) -> bool:
    return bool(low <= table[columns[0]].std() <= high)


def _psi(table: pd.DataFrame, columns: Columns, high: float, **reference: Any) -> bool:
    return bool(_part_of_shift(table, columns, **reference).mean() <= high)


def _changed(table: pd.DataFrame, columns: Columns, low: float, hashes: pd.Series) -> bool:
    return bool(_has_changed(table, columns, hashes).mean() >= low)


def _total(table: pd.DataFrame, columns: Columns, low: float, high: float) -> bool:
    return bool(low <= table[columns[0]].sum() <= high)


def _column_count(table: pd.DataFrame, columns: Columns, low: int) -> bool:
    return table.shape[1] >= low


TABLE_TESTS: Mapping[str, Callable[..., bool]] = {
    "has_columns": _has_columns,
    "column_count": _column_count,
    "has_type": _has_type,
    "row_count": _row_count,
    "distinct": _distinct,
    "null_share": _null_share,
    "flagged": _flagged,
    "mean": _mean,
    "deviation": _deviation,
    "total": _total,
    "psi": _psi,
    "changed": _changed,
}
