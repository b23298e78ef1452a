"""Aggregates of the raw table that give nobody away."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from expectations.contract import Contract
from tasks import exploration
from tasks.keeping import keep, load

CONTRACT = Contract.model_validate(
    {
        "name": "shop",
        "id": {"column": "customer"},
        "columns": {
            "revenue": {"kind": "money", "low": -1000, "max_null_share": 1},
            "returned": {"kind": "share"},
            "score": {"kind": "score", "max_null_share": 1},
            "plan": {"kind": "category", "max_null_share": 1},
            "objects": {"kind": "flag", "use": "objection"},
        },
    }
)


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    revenue = np.exp(rng.normal(4, 1, 500))
    table = pd.DataFrame(
        {
            "customer": [f"c{row}" for row in range(500)],
            "revenue": revenue,
            "returned": rng.random(500),
            "score": np.sqrt(revenue) + rng.normal(0, 1, 500),
            "plan": pd.array(["a", "b"] * 250, dtype="str"),
        }
    )
    table.loc[:6, "revenue"] = np.nan
    table.loc[7, "revenue"] = 1e8
    table.loc[8, "revenue"] = np.inf
    table.loc[9, "revenue"] = -999.0
    table.loc[:2, "score"] = np.nan
    return table


def test_missing_values_are_counted_and_few_of_them_are_not_told(raw: pd.DataFrame) -> None:
    missing = exploration.missing_values(raw, CONTRACT, 5).set_index("column")
    assert list(missing.index[:2]) == ["revenue", "score"]
    assert (missing.loc["revenue", "rows"], missing.loc["revenue", "share"]) == (7, 7 / 500)
    assert pd.isna(missing.loc["score", "rows"])
    assert missing.loc["score", "shown"] == "< 5"
    assert missing.loc["plan", "rows"] == 0
    assert "objects" not in missing.index
    exactly = exploration.missing_values(raw, CONTRACT, 7).set_index("column")
    assert exactly["shown"].to_dict() == {
        "revenue": "7", "score": "< 7", "returned": "0", "plan": "0",
    }  # fmt: skip


def test_no_cell_stands_for_fewer_customers_than_allowed(raw: pd.DataFrame) -> None:
    cells = exploration.distributions(raw, CONTRACT, 5)
    assert set(cells["column"]) == {"revenue", "returned", "score"}
    assert not cells["rows"].between(1, 4).any()
    finer = exploration.distributions(raw, CONTRACT, 1)
    assert finer["rows"].between(1, 4).any()


def test_cells_lie_between_the_5_and_95_percent_quantiles(raw: pd.DataFrame) -> None:
    cells = exploration.distributions(raw, CONTRACT, 1)
    revenue = cells[cells["column"] == "revenue"]
    finite = raw["revenue"][np.isfinite(raw["revenue"])]
    low, high = finite.quantile([0.05, 0.95])
    assert revenue["low"].min() == pytest.approx(low)
    assert revenue["high"].max() == pytest.approx(high)
    assert revenue["rows"].sum() == finite.between(low, high).sum()
    assert (revenue["low"].to_numpy()[1:] == revenue["high"].to_numpy()[:-1]).all()


def test_densities_are_densities(raw: pd.DataFrame) -> None:
    cells = exploration.distributions(raw, CONTRACT, 5)
    area = cells["density"] * (cells["axis_high"] - cells["axis_low"])
    assert area.groupby(cells["column"]).sum().to_numpy() == pytest.approx(1)


@pytest.mark.parametrize("values", [7.0, np.nan])
def test_a_constant_or_empty_column_is_no_trouble(raw: pd.DataFrame, values: float) -> None:
    spoilt = raw.assign(score=values)
    cells = exploration.distributions(spoilt, CONTRACT, 5)
    score = cells[cells["column"] == "score"]
    assert score["rows"].sum() == (0 if np.isnan(values) else 500)
    assert np.isfinite(score["density"]).all()
    table = exploration.correlations(spoilt, CONTRACT).set_index("column")
    assert table.drop(columns="score").loc["score"].isna().all()
    assert table.loc["revenue", "revenue"] == pytest.approx(1)


def test_cells_of_money_are_equally_wide_on_the_log_scale_also_below_zero() -> None:
    owed = pd.DataFrame({"revenue": np.linspace(-900, 900, 2001), "returned": 0.5, "score": 0.0})
    cells = exploration.distributions(owed, CONTRACT, 1)
    revenue = cells[cells["column"] == "revenue"]
    low, high = revenue["low"].iloc[0], revenue["high"].iloc[-1]
    assert (low, high) == pytest.approx((-810, 810))
    edges = np.append(revenue["low"], high)
    assert np.diff(np.sign(edges) * np.log(1 + np.abs(edges))) == pytest.approx(
        2 * np.log(811) / exploration.BINS
    )
    by_hand, _ = np.histogram(owed["revenue"], edges)
    assert revenue["rows"].tolist() == by_hand.tolist()


def test_quantiles_end_at_5_and_95_percent_of_what_is_finite(raw: pd.DataFrame) -> None:
    zeros = raw.assign(returned=raw["returned"].where(raw["returned"] > 0.25, 0))
    table = exploration.quantiles(zeros, CONTRACT).set_index("column")
    assert [name for name in table if name.startswith("q")] == ["q05", "q25", "q50", "q75", "q95"]
    finite = raw["revenue"][np.isfinite(raw["revenue"])]
    assert table.loc["revenue", "q05"] == pytest.approx(np.quantile(finite, 0.05))
    assert table.loc["revenue", "q95"] == pytest.approx(np.quantile(finite, 0.95))
    assert table.loc["revenue", "mean"] == pytest.approx(finite.mean())
    assert table.loc["returned", "zeros"] == (raw["returned"] <= 0.25).mean()
    emptier = zeros.assign(returned=zeros["returned"].mask(np.arange(500) % 2 == 0))
    half = exploration.quantiles(emptier, CONTRACT).set_index("column")
    assert half.loc["returned", "zeros"] == (raw["returned"][1::2] <= 0.25).mean()


@pytest.mark.parametrize("explored", [exploration.quantiles, exploration.correlations])
def test_a_kept_table_still_names_its_columns(
    explored: Callable[..., pd.DataFrame], raw: pd.DataFrame, tmp_path: Path
) -> None:
    table = explored(raw, CONTRACT)
    keep(tmp_path / "table.parquet", table)
    assert load(tmp_path / "table.parquet")["column"].tolist() == ["revenue", "returned", "score"]


def test_the_table_is_not_changed(raw: pd.DataFrame) -> None:
    before = raw.copy(deep=True)
    exploration.missing_values(raw, CONTRACT, 5)
    exploration.distributions(raw, CONTRACT, 5)
    exploration.quantiles(raw, CONTRACT)
    exploration.correlations(raw, CONTRACT)
    pd.testing.assert_frame_equal(raw, before)


def test_correlations_are_spearmans(raw: pd.DataFrame) -> None:
    numbers = raw[["revenue", "score"]]
    known = numbers[np.isfinite(numbers).all(axis=1)]
    table = exploration.correlations(raw, CONTRACT).set_index("column")
    expected = spearmanr(known["revenue"], known["score"]).statistic
    assert table.loc["revenue", "score"] == pytest.approx(expected, abs=1e-9)
    assert np.allclose(table, table.T)
