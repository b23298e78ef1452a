"""Aggregates of the raw table that give nobody away."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from expectations.contract import Contract
from tasks import exploration

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
    assert exploration.correlations(spoilt, CONTRACT).shape == (3, 4)


def test_quantiles_end_at_5_and_95_percent(raw: pd.DataFrame) -> None:
    table = exploration.quantiles(raw, CONTRACT)
    table = table.set_index("column") if "column" in table else table
    assert [name for name in table if name.startswith("q")] == ["q05", "q25", "q50", "q75", "q95"]
    assert table.loc["returned", "q50"] == pytest.approx(raw["returned"].median())


def test_correlations_are_spearmans(raw: pd.DataFrame) -> None:
    numbers = raw[["revenue", "score"]]
    known = numbers[np.isfinite(numbers).all(axis=1)]
    table = exploration.correlations(raw, CONTRACT).set_index("column")
    expected = spearmanr(known["revenue"], known["score"]).statistic
    assert table.loc["revenue", "score"] == pytest.approx(expected, abs=1e-9)
    assert np.allclose(table, table.T)
