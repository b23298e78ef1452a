"""Broken rows are set aside, gaps are filled, and every row is counted."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations.contract import Contract
from tasks.cleaning import clean_customers

CONTRACT = Contract.model_validate(
    {
        "name": "shop",
        "id": {"column": "id", "pattern": "C[0-9]{2}"},
        "columns": {
            "amount": {"kind": "money", "max_null_share": 0.9},
            "self": {"kind": "score", "max_null_share": 0.9},
            "visits": {"kind": "count"},
            "ratio": {"kind": "share", "high": 2, "warn_high": 1},
            "plan": {"kind": "category", "values": ["basic", "plus"], "max_null_share": 0.9},
            "card": {"kind": "flag", "max_null_share": 0.9},
        },
        "rules": [
            {"name": "both", "test": "together", "severity": "set_aside",
             "columns": ["visits", "ratio"]},
            {"name": "within", "test": "at_most", "severity": "warn",
             "smaller": "amount", "larger": "visits"},
        ],
    }
)  # fmt: skip


def customers(n: int = 6, **changed: Mapping[int, Any]) -> pd.DataFrame:
    """Rows that keep every rule, but for cells changed by column and position."""
    raw: dict[str, list[Any]] = {
        "id": [f"C{row:02d}" for row in range(n)],
        "amount": [1.0 + row for row in range(n)],
        "self": [-1.0 * row for row in range(n)],
        "visits": [20.0 + row for row in range(n)],
        "ratio": [0.5] * n,
        "plan": ["basic"] * n,
        "card": [True] * n,
        "_row": list(range(2, n + 2)),
        "_unreadable": [None] * n,
    }
    for column, cells in changed.items():
        for position, value in cells.items():
            raw[column][position] = value
    types = {"id": "str", "plan": "str", "_unreadable": "str", "card": "boolean"}
    return pd.DataFrame(raw).astype(types)


def rows_kept(raw: pd.DataFrame) -> list[int]:
    return clean_customers(raw, CONTRACT).table["_row"].tolist()


@pytest.mark.parametrize(
    ("changed", "leaving"),
    [
        ({}, []),
        ({"amount": {1: -0.01}}, [1]),
        ({"amount": {1: 1e9 + 1}}, [1]),
        ({"visits": {2: 1.5}}, [2]),
        ({"visits": {2: None}}, [2]),
        ({"ratio": {0: 2.5}}, [0]),
        ({"ratio": {0: 0.0}}, [0]),
        ({"plan": {3: "gold"}}, [3]),
        ({"id": {5: "X05"}}, [5]),
        ({"id": {5: "C05\n"}}, [5]),
        ({"id": {5: None}}, [5]),
        ({"id": {1: "C00"}}, [0, 1]),
        ({"_unreadable": {4: '{"amount": "12,x"}'}, "amount": {4: None}}, [4]),
        ({"_unreadable": {4: '{"*": "a cell too many"}'}}, [4]),
        ({"amount": {1: -1.0, 3: -1.0}, "visits": {1: 0.5}, "plan": {2: "gold"}}, [1, 2, 3]),
    ],
)
def test_rows_that_break_a_rule_leave_and_no_others(
    changed: dict[str, Any], leaving: list[int]
) -> None:
    outcome = clean_customers(customers(**changed), CONTRACT)
    assert outcome.table["_row"].tolist() == [row + 2 for row in range(6) if row not in leaving]
    assert (outcome.log["kept"], outcome.log["quarantined"]) == (6 - len(leaving), len(leaving))


def test_a_rule_that_only_warns_takes_no_row_away() -> None:
    raw = customers(ratio={0: 1.5}, amount={1: 99.0})
    pd.testing.assert_series_equal(clean_customers(raw, CONTRACT).table["ratio"], raw["ratio"])
    assert rows_kept(raw) == raw["_row"].tolist()


def test_gaps_are_filled_with_the_median_of_the_kept_rows() -> None:
    raw = customers(amount={0: None, 1: 10.0, 2: 20.0, 3: 40.0, 4: 1e8, 5: None}, visits={4: -1.0})
    outcome = clean_customers(raw, CONTRACT)
    assert outcome.table["amount"].tolist() == [20.0, 10.0, 20.0, 40.0, 20.0]
    assert outcome.log["filled"] == {"amount": {"rows": 2, "median": 20.0}}


def test_the_median_of_an_even_number_lies_between_the_middle_two() -> None:
    raw = customers(self={0: None, 1: None, 2: -4.0, 3: 0.0, 4: 1.0, 5: 9.0})
    assert clean_customers(raw, CONTRACT).table["self"].tolist()[:2] == [0.5, 0.5]


def test_gaps_of_categories_and_flags_stay_gaps() -> None:
    raw = customers(plan={1: None}, card={2: None, 3: False})
    table = clean_customers(raw, CONTRACT).table
    assert table["plan"].isna().tolist() == [False, True, False, False, False, False]
    assert table["card"].tolist() == [True, True, pd.NA, False, True, True]
    assert (str(table["plan"].dtype), str(table["card"].dtype)) == ("str", "boolean")


def test_a_column_without_any_value_stays_empty_and_is_no_nan_in_the_log() -> None:
    outcome = clean_customers(customers(amount=dict.fromkeys(range(6))), CONTRACT)
    assert outcome.table["amount"].isna().all()
    assert json.loads(json.dumps(outcome.log, allow_nan=False))["filled"] == {}


def test_rows_keep_their_order_and_the_line_of_the_source() -> None:
    raw = customers(visits={1: 0.5}).iloc[::-1]
    table = clean_customers(raw, CONTRACT).table
    assert table["_row"].tolist() == [7, 6, 5, 4, 2]
    assert table.index.tolist() == [0, 1, 2, 3, 4]
    assert list(table) == ["id", *CONTRACT.kept, "_row"]


cell = st.sampled_from([None, -1.0, 0.0, 1.0, 2.0, 7.5])


@given(st.lists(st.tuples(cell, cell, cell), min_size=1, max_size=12))
def test_for_every_table_rows_are_kept_or_counted_and_nothing_changes_in_place(
    cells: list[tuple[float | None, ...]],
) -> None:
    amounts, visits, ratios = (dict(enumerate(column)) for column in zip(*cells, strict=True))
    raw = customers(len(cells), amount=amounts, visits=visits, ratio=ratios)
    before = raw.copy(deep=True)
    table, _, log = clean_customers(raw, CONTRACT)
    pd.testing.assert_frame_equal(raw, before)
    assert log["kept"] + log["quarantined"] == len(raw)
    assert log["kept"] == len(table)
    was_kept = raw["_row"].isin(table["_row"]).to_numpy()
    whole = (raw["visits"] % 1 == 0) & (raw["visits"] >= 0)
    shares = raw["ratio"].between(0, 2)
    together = (raw["visits"] > 0) == (raw["ratio"] > 0)
    amount_ok = ~(raw["amount"] < 0)
    np.testing.assert_array_equal(was_kept, whole & shares & together & amount_ok)
    known = raw["amount"].notna().to_numpy()[was_kept]
    assert (table["amount"][known] == raw["amount"][was_kept].dropna().to_numpy()).all()
    if known.any():
        filled = table["amount"].notna()
        assert filled.all()
        assert set(table["amount"][~known]) <= {np.median(raw["amount"][was_kept].dropna())}
