"""Features are picked, transformed by kind and standardised, one row at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expectations.contract import Contract
from tasks.exploration import signed_exp
from tasks.keeping import keep, load
from tasks.scaling import (
    LogColumns,
    ScalingOptions,
    build_scaler,
    business_columns,
    explained_by_others,
    left_out_in_words,
    prune_duplicates,
    scale_customers,
    signed_log,
)

KINDS = {
    "amount": "money",
    "balance": "money",
    "visits": "count",
    "ratio": "share",
    "age": "months",
    "mood": "score",
}
LOGGED = {"amount", "balance", "visits"}


def contract_of(*names: str) -> Contract:
    columns = {name: {"kind": KINDS[name], "max_null_share": 0.5} for name in names}
    columns["plan"] = {"kind": "category"}
    return Contract.model_validate({"name": "shop", "id": {"column": "id"}, "columns": columns})


CONTRACT = contract_of(*KINDS)
EVERY_COLUMN = ScalingOptions(min_explained=-1)  # of noise, too


def customers(n: int = 400, seed: int = 1) -> pd.DataFrame:
    """Independent columns, one of each kind."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": [f"C{row}" for row in range(n)],
            "amount": rng.lognormal(6, 1, n),
            "balance": np.where(rng.random(n) < 0.3, 0, rng.lognormal(6, 1, n)),
            "visits": rng.poisson(4, n).astype(float),
            "ratio": rng.beta(1, 3, n),
            "age": rng.integers(0, 40, n).astype(float),
            "mood": rng.normal(-3, 2, n),
            "plan": "basic",
        }
    )


def scaled(clean: pd.DataFrame, contract: Contract = CONTRACT) -> pd.DataFrame:
    return scale_customers(clean, contract, EVERY_COLUMN).table


def test_money_and_counts_are_logged_and_every_feature_has_mean_0_and_sd_1() -> None:
    clean = customers()
    table = scaled(clean)
    assert list(table) == ["id", *KINDS]
    assert table["id"].tolist() == clean["id"].tolist()
    for name in KINDS:
        by_hand = np.log(1 + clean[name]) if name in LOGGED else clean[name]
        by_hand = (by_hand - by_hand.mean()) / by_hand.std(ddof=0)
        np.testing.assert_allclose(table[name], by_hand, atol=1e-10)
        assert table[name].mean() == pytest.approx(0, abs=1e-12)
        assert table[name].std(ddof=0) == pytest.approx(1)


def test_the_logarithm_is_odd_exact_near_zero_and_can_be_undone() -> None:
    values = np.array([-1e9, -1.0, -1e-12, 0.0, 1e-12, 1.0, 1e9])
    logged = signed_log(values)
    np.testing.assert_array_equal(logged, -signed_log(-values))
    assert (np.diff(logged) > 0).all()
    np.testing.assert_allclose(logged[[4, 5]], [1e-12, np.log(2)], rtol=1e-12)
    np.testing.assert_allclose(signed_exp(logged), values, rtol=1e-12)


@pytest.mark.parametrize(
    "twin_of", [lambda x: np.log1p(x) * 7 + 2, lambda x: x**3, lambda x: -np.sqrt(x)]
)
@pytest.mark.parametrize("order", [["amount", "visits", "mood"], ["mood", "visits", "amount"]])
def test_of_two_columns_in_the_same_order_the_first_named_stays(
    twin_of: type, order: Sequence[str]
) -> None:
    clean = customers()
    clean["mood"] = twin_of(clean["amount"])
    outcome = scale_customers(clean, contract_of(*order), EVERY_COLUMN)
    first, _, last = order
    assert outcome.log["features"] == [first, "visits"]
    assert outcome.log["dropped"] == [{"column": last, "twin": first, "correlation": 1.0}]
    assert list(outcome.table) == ["id", first, "visits"]


@pytest.mark.parametrize("side", [-1, 1])
def test_a_column_is_dropped_from_the_threshold_on(side: int) -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(size=500)
    numbers = pd.DataFrame({"first": first, "second": -first + rng.normal(0, 0.5, 500)})
    between = max(abs(numbers.corr(how).iloc[0, 1]) for how in ("spearman", "pearson"))
    kept, dropped = prune_duplicates(numbers, between + side * 1e-9)
    assert kept == (["first", "second"] if side > 0 else ["first"])
    assert [one["correlation"] for one in dropped] == ([] if side > 0 else [round(between, 3)])


def test_a_threshold_of_1_drops_exact_copies_only() -> None:
    first = np.random.default_rng(3).normal(size=500)
    numbers = pd.DataFrame({"first": first, "close": first.round(1), "copy": first * 2})
    assert prune_duplicates(numbers, 1)[0] == ["first", "close"]


def test_the_near_copy_of_a_column_of_few_values_is_dropped_though_ranks_do_not_tell() -> None:
    rng = np.random.default_rng(5)
    tenure = np.where(rng.random(800) < 0.85, 12.0, rng.integers(6, 12, 800))
    numbers = pd.DataFrame({"tenure": tenure, "copy": tenure + rng.normal(0, 0.1, 800)})
    assert abs(numbers.corr("spearman").iloc[0, 1]) < 0.85
    kept, dropped = prune_duplicates(numbers, 0.85)
    assert kept == ["tenure"]
    assert dropped[0]["correlation"] > 0.99


def test_a_column_is_compared_with_kept_ones_only() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 4000))
    middle = noise[0]
    left, right = (middle + 0.45 * other for other in noise[1:])
    numbers = pd.DataFrame({"left": left, "middle": middle, "right": right})
    kept, dropped = prune_duplicates(numbers, 0.85)
    assert kept == ["left", "right"]  # the one in the middle, like both, is not there to compare
    assert dropped[0]["twin"] == "left"


def test_every_column_of_the_contract_is_kept_or_told(month_of_600: pd.DataFrame) -> None:
    from expectations.contract import load_contract

    ccdata = load_contract("ccdata")
    clean = month_of_600.fillna(month_of_600[list(ccdata.numeric)].median())
    log = scale_customers(clean, ccdata, ScalingOptions()).log
    told = [*log["features"], *(one["column"] for one in log["dropped"])]
    assert sorted(told) == sorted(ccdata.features)
    assert len(log["dropped"]) >= 3


def test_rows_with_gaps_are_scaled_as_if_they_had_been_filled() -> None:
    raw = customers()
    rng = np.random.default_rng(2)
    raw[["amount", "mood"]] = raw[["amount", "mood"]].mask(rng.random((len(raw), 2)) < 0.2)
    clean = raw.fillna(raw[list(KINDS)].median())
    outcome = scale_customers(clean, CONTRACT, EVERY_COLUMN)
    model = outcome.learned["scaler.skops"]
    assert raw.isna().any(axis=None)
    np.testing.assert_array_equal(model.transform(raw), outcome.table.drop(columns="id"))


def test_a_row_is_scaled_alike_alone_and_in_a_batch_and_whatever_the_order_of_columns() -> None:
    clean = customers()
    outcome = scale_customers(clean, CONTRACT, EVERY_COLUMN)
    model, X = outcome.learned["scaler.skops"], outcome.table.drop(columns="id").to_numpy()
    np.testing.assert_array_equal(model.transform(clean.iloc[[17]]), X[[17]])
    np.testing.assert_array_equal(model.transform(clean[clean.columns[::-1]]), X)
    shuffled = scaled(clean[clean.columns[::-1]])
    pd.testing.assert_frame_equal(shuffled, outcome.table)


def test_the_input_is_not_changed() -> None:
    clean = customers()
    before = clean.copy(deep=True)
    model = scale_customers(clean, CONTRACT, EVERY_COLUMN).learned["scaler.skops"]
    model.transform(clean)
    pd.testing.assert_frame_equal(clean, before)
    X = np.ones((3, 2))
    assert LogColumns([0]).fit(X).transform(X)[0].tolist() == [np.log(2), 1]
    assert (X == 1).all()


def test_every_customer_keeps_the_own_row_whatever_the_index() -> None:
    clean = customers()
    shuffled = scaled(clean.sample(frac=1, random_state=0)).set_index("id")
    pd.testing.assert_frame_equal(shuffled.loc[clean["id"]], scaled(clean).set_index("id"))


def test_the_unit_of_amounts_without_small_ones_hardly_matters_and_of_others_does() -> None:
    """log1p of another unit is a shift, up to the inverse of the amount: none in x >> 1."""
    clean = customers()
    cents = clean.assign(amount=clean["amount"] * 100, balance=clean["balance"] * 100)
    euro, cent = scaled(clean), scaled(cents)
    smallest = clean["amount"].min()
    assert smallest > 10
    assert np.abs(euro["amount"] - cent["amount"]).max() < 2 / smallest
    np.testing.assert_array_equal(euro["amount"].rank(), cent["amount"].rank())
    np.testing.assert_array_equal(euro["balance"].rank(), cent["balance"].rank())
    assert np.abs(euro["balance"] - cent["balance"]).max() > 0.1  # zeros do not shift
    pd.testing.assert_frame_equal(euro.drop(columns=["amount", "balance"]),
                                  cent.drop(columns=["amount", "balance"]))  # fmt: skip


def test_shares_and_scores_do_not_feel_a_linear_change_of_unit() -> None:
    clean = customers()
    other = clean.assign(ratio=clean["ratio"] * 100, mood=1.8 * clean["mood"] + 32)
    pd.testing.assert_frame_equal(scaled(clean), scaled(other), atol=1e-10)


def test_a_constant_column_comes_out_as_zeros_for_the_gate_to_refuse() -> None:
    table = scaled(customers().assign(mood=5.0))
    assert (table["mood"] == 0).all()
    assert np.isfinite(table.drop(columns="id")).all(axis=None)
    assert (scaled(customers(1)).drop(columns="id") == 0).all(axis=None)


def test_one_feature_is_enough_to_scale() -> None:
    clean = customers()
    table = scaled(clean, contract_of("ratio"))
    np.testing.assert_allclose(table["ratio"], scaled(clean)["ratio"])
    assert list(table) == ["id", "ratio"]


def test_a_kept_scaler_scales_the_same(tmp_path: Path) -> None:
    clean = customers()
    model = build_scaler(list(KINDS), CONTRACT).fit(clean)
    keep(tmp_path / "scaler.skops", model)
    np.testing.assert_array_equal(
        load(tmp_path / "scaler.skops").transform(clean), model.transform(clean)
    )


def related(n: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Three columns of one trait, between two of pure noise."""
    rng = np.random.default_rng(seed)
    trait = rng.normal(size=n)
    related = {name: trait + rng.normal(0, 1, n) for name in "bcd"}
    return pd.DataFrame({"a": rng.normal(size=n), **related, "e": rng.exponential(size=n)})


def test_the_share_explained_is_the_adjusted_r_squared_of_a_regression() -> None:
    from sklearn.linear_model import LinearRegression

    X = related(200).to_numpy()
    for column, found in enumerate(explained_by_others(X)):
        others = np.delete(X, column, axis=1)
        score = LinearRegression().fit(others, X[:, column]).score(others, X[:, column])
        assert found == pytest.approx(1 - (1 - score) * 199 / (200 - 5), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_columns_that_the_others_do_not_explain_are_left_out_and_told(seed: int) -> None:
    contract = Contract.model_validate(
        {
            "name": "shop",
            "id": {"column": "id"},
            "columns": {name: {"kind": "score"} for name in "abcde"},
        }
    )
    clean = related(seed=seed)
    clean.insert(0, "id", [f"C{row}" for row in range(len(clean))])
    outcome = scale_customers(clean, contract, ScalingOptions())
    assert outcome.log["features"] == ["b", "c", "d"]
    assert [one["column"] for one in outcome.log["dropped"]] == ["a", "e"]
    assert all(one["explained"] < 0.02 for one in outcome.log["dropped"])
    words = left_out_in_words(outcome.log["dropped"])
    assert words.startswith("Left out: a (noise: the others explain 0.")
    assert scale_customers(clean, contract, EVERY_COLUMN).log["features"] == [*"abcde"]


def test_noise_everywhere_leaves_no_feature_and_no_pipeline() -> None:
    clean = customers(4000)
    outcome = scale_customers(clean, CONTRACT, ScalingOptions())
    assert outcome.log["features"] == []
    assert list(outcome.table) == ["id"]
    assert outcome.learned == {}
    assert len(outcome.log["dropped"]) == len(KINDS)


def test_columns_that_add_up_are_explained_wholly_and_a_lonely_one_by_nothing() -> None:
    X = related(300).to_numpy()
    total = np.column_stack([X, X.sum(axis=1)])
    assert explained_by_others(total) == pytest.approx(np.ones(6), abs=1e-4)
    assert explained_by_others(X[:, :1]) == pytest.approx([0], abs=1e-8)
    assert explained_by_others(np.column_stack([X, np.ones(300)]))[-1] == 0
    assert (explained_by_others(X[:5]) == 1).all()  # too few customers to tell


def test_the_columns_to_be_explained_are_all_numbers_logged_by_kind() -> None:
    clean = customers(50)
    columns = business_columns(clean, CONTRACT)
    assert list(columns) == list(KINDS)
    for name in KINDS:
        by_hand = np.log1p(clean[name]) if name in LOGGED else clean[name]
        np.testing.assert_allclose(columns[name], by_hand)


def test_why_a_column_is_left_out_is_said_in_words() -> None:
    assert left_out_in_words([]) == ""
    twin = {"column": "a", "twin": "b", "correlation": 0.912}
    assert left_out_in_words([twin]) == "Left out: a (like b, correlation 0.91)."
