"""The synthetic month: one world seen month by month, close to the reference, honest in truth."""

import os
import pathlib

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pandas.testing import assert_frame_equal
from scipy.stats import ks_2samp
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from tasks import sample
from tasks.sample import PATTERNS, Moves, SyntheticMonth, draw_month, write_sample

OCTOBER = pd.Period("2026-10", "M")
ROWS = 8950
MONEY = [
    "BALANCE",
    "PURCHASES",
    "ONEOFF_PURCHASES",
    "INSTALLMENTS_PURCHASES",
    "CASH_ADVANCE",
    "CREDIT_LIMIT",
    "PAYMENTS",
]
SHARES = [
    "BALANCE_FREQUENCY",
    "PURCHASES_FREQUENCY",
    "ONEOFF_PURCHASES_FREQUENCY",
    "PURCHASES_INSTALLMENTS_FREQUENCY",
    "CASH_ADVANCE_FREQUENCY",
    "PRC_FULL_PAYMENT",
]


def by_customer(month: SyntheticMonth) -> tuple[pd.DataFrame, pd.DataFrame]:
    return month.table.set_index("CUST_ID"), month.truth.set_index("CUST_ID")


def log_pruned(table: pd.DataFrame) -> pd.DataFrame:
    """The eleven columns of the log-pruned space, before standardising."""
    shares = ["BALANCE_FREQUENCY", "PURCHASES_FREQUENCY", "PRC_FULL_PAYMENT", "TENURE"]
    return np.log1p(table[MONEY]).join(table[shares])


def products_in_use(table: pd.DataFrame) -> NDArray[np.object_]:
    """Name the usage pattern that the amounts of each row show."""
    amounts = {
        "one-off": "ONEOFF_PURCHASES",
        "instalments": "INSTALLMENTS_PURCHASES",
        "cash": "CASH_ADVANCE",
    }
    used = table[list(amounts.values())].to_numpy() > 0
    return np.array([" + ".join(np.array(list(amounts))[row]) for row in used], dtype=object)


def test_a_month_is_the_same_alone_and_after_others() -> None:
    alone = draw_month(500, OCTOBER, seed=0)
    for step in (-1, 1, 200):
        draw_month(500, OCTOBER + step, seed=0)
    draw_month(700, OCTOBER, seed=1)
    for before, after in zip(alone, draw_month(500, OCTOBER, seed=0), strict=True):
        assert_frame_equal(before, after)


def test_seeds_give_other_customers() -> None:
    first, second = (draw_month(500, OCTOBER, seed).table for seed in (0, 1))
    assert (first.BALANCE != second.BALANCE).mean() > 0.95


@pytest.mark.parametrize("rows", [1, 3, 50, ROWS])
def test_a_month_has_the_rows_asked_for_with_unique_ids(rows: int) -> None:
    table, truth = draw_month(rows, OCTOBER, seed=0)
    assert len(table) == rows
    assert table.CUST_ID.is_unique and table.CUST_ID.is_monotonic_increasing
    assert table.CUST_ID.str.fullmatch("C[0-9]{5}").all()
    assert table.CUST_ID.equals(truth.CUST_ID)


def test_an_id_stands_for_one_customer_even_in_the_largest_month() -> None:
    (_, truth), (_, later) = (
        by_customer(draw_month(sample.MAX_ROWS, OCTOBER + step, seed=0)) for step in (0, 9)
    )
    assert truth.index.is_unique
    shared = truth.index.intersection(later.index)
    assert len(shared) > 0.7 * sample.MAX_ROWS
    assert truth.joined_month[shared].equals(later.joined_month[shared])


@pytest.mark.parametrize("month", ["2000-01", "2026-12", "2100-06"])
def test_about_two_per_cent_join_and_leave_each_month(month: str) -> None:
    first = pd.Period(month, "M")
    before, after = (draw_month(ROWS, first + step, seed=0).truth for step in (0, 1))
    joined = after[~after.CUST_ID.isin(before.CUST_ID)]
    left = before[~before.CUST_ID.isin(after.CUST_ID)]
    assert 0.018 < len(joined) / ROWS < 0.026
    assert len(left) == len(joined)
    assert joined.equals(after[after.joined_month == str(first + 1)])
    assert left.equals(before[before.last_month == month])
    assert joined.index.equals(after.index[after.previous_pattern.isna()])


def test_tenure_grows_by_a_month_up_to_twelve() -> None:
    tables = [by_customer(draw_month(ROWS, OCTOBER + step, seed=0)) for step in (0, 1)]
    (before, _), (after, truth) = tables
    shared = before.index.intersection(after.index)
    assert after.TENURE[shared].equals((before.TENURE[shared] + 1).clip(upper=12))
    assert (after.TENURE[~after.index.isin(before.index)] == 6).all()
    grown = after.TENURE[shared] > before.TENURE[shared]
    assert ((truth.cause[shared] == "aged") == grown).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_hardly_anyone_changes_segment_unplanted(seed: int) -> None:
    (before, _), (after, truth) = (
        by_customer(draw_month(ROWS, OCTOBER + step, seed)) for step in (0, 1)
    )
    scaler = StandardScaler().fit(log_pruned(before))
    model = KMeans(7, n_init=2, random_state=0).fit(scaler.transform(log_pruned(before)))
    segments, later = (
        pd.Series(model.predict(scaler.transform(log_pruned(table))), table.index)
        for table in (before, after)
    )
    unplanted = truth.index[(truth.cause == "") & truth.index.isin(before.index)]
    changed = segments[unplanted] != later[unplanted]
    assert len(unplanted) > 0.8 * ROWS
    assert 0 < changed.mean() < 0.01
    assert (before.PAYMENTS[unplanted] != after.PAYMENTS[unplanted]).mean() > 0.9


def test_moves_are_in_the_table_where_the_truth_says_and_nowhere_else() -> None:
    moves = Moves(OCTOBER, share=0.05)
    (plain, _), (table, truth) = (
        by_customer(draw_month(ROWS, OCTOBER, 0, *planted)) for planted in ((), (moves,))
    )
    moved = truth.cause == "moved"
    assert 0.04 < moved.mean() < 0.06
    assert_frame_equal(table[~moved], plain[~moved])
    assert (products_in_use(table) == truth.pattern).all()
    assert (products_in_use(plain) == truth.previous_pattern.fillna(truth.pattern)).all()
    assert (truth.pattern != truth.previous_pattern)[moved].all()
    assert table.TENURE.equals(plain.TENURE)
    assert truth.joined_month[moved].max() < str(OCTOBER)


def test_a_moved_customer_stays_moved() -> None:
    moves = Moves(OCTOBER, share=0.3, source="cash", target="one-off + cash")
    then, later = (draw_month(ROWS, OCTOBER + step, 0, moves).truth for step in (0, 6))
    moved = set(then.CUST_ID[then.cause == "moved"])
    still = set(later.CUST_ID[later.moved_month == str(OCTOBER)])
    assert still <= moved
    assert moved - still == moved - set(later.CUST_ID)
    assert not (later.cause == "moved").any()
    assert set(later.pattern[later.CUST_ID.isin(still)]) == {"one-off + cash"}
    assert later.previous_pattern.dropna().equals(later.pattern[later.previous_pattern.notna()])


def test_moves_follow_each_other_and_do_not_hit_the_same_customers() -> None:
    first, second = Moves(OCTOBER, share=0.05), Moves(OCTOBER + 2, share=0.05)
    truths = [draw_month(ROWS, OCTOBER + step, 0, second, first).truth for step in range(4)]
    alone = draw_month(ROWS, OCTOBER, 0, first).truth
    assert truths[0].equals(alone)
    hit = [set(truth.CUST_ID[truth.cause == "moved"]) for truth in truths]
    assert len(hit[0] & hit[2]) < 0.1 * len(hit[2])
    assert 0.04 < len(hit[2]) / ROWS < 0.06
    assert not hit[1] | hit[3]
    later = truths[3].set_index("CUST_ID").moved_month
    assert set(later[list(hit[2] & set(later.index))]) == {str(OCTOBER + 2)}
    assert set(later[list((hit[0] - hit[2]) & set(later.index))]) == {str(OCTOBER)}
    before, after = (truth.set_index("CUST_ID") for truth in truths[1:3])
    both = before.index.intersection(after.index)
    assert before.pattern[both].equals(after.previous_pattern[both])


def test_moves_start_from_the_source_only_and_not_before_their_month() -> None:
    moves = Moves(OCTOBER, share=1, source="cash", target="instalments")
    before, then = (draw_month(ROWS, OCTOBER + step, 0, moves).truth for step in (-1, 0))
    assert before.equals(draw_month(ROWS, OCTOBER - 1, 0).truth)
    assert ((then.cause == "moved") == (then.previous_pattern == "cash")).all()
    assert set(then.pattern[then.cause == "moved"]) == {"instalments"}


@pytest.mark.parametrize(
    ("month", "seed", "share"), [("2000-01", 0, 0), ("2026-10", 1, 0.5), ("2150-03", 2, 0)]
)
def test_what_the_reference_never_breaks_holds(month: str, seed: int, share: float) -> None:
    period = pd.Period(month, "M")
    table = draw_month(20_000, period, seed, Moves(period, share)).table
    numbers = table.drop(columns="CUST_ID")
    others = numbers.drop(columns="MINIMUM_PAYMENTS")
    assert np.isfinite(others).all(axis=None)
    assert numbers.min().min() >= 0
    assert table[SHARES].max().max() <= 1
    assert np.allclose(others, others.round(6), rtol=0, atol=1e-12)
    assert set(table.TENURE) == set(range(6, 13))
    assert {table.TENURE.dtype, table.PURCHASES_TRX.dtype, table.CASH_ADVANCE_TRX.dtype} == {
        np.dtype("int64")
    }
    assert table.CREDIT_LIMIT.between(50, 30_000).all()
    parts = table.ONEOFF_PURCHASES + table.INSTALLMENTS_PURCHASES
    assert (table.PURCHASES - parts).abs().max() < 0.01
    for product in ("PURCHASES", "CASH_ADVANCE"):
        used = table[product] > 0
        assert used.equals(table[f"{product}_TRX"] > 0)
        assert used.equals(table[f"{product}_FREQUENCY"] > 0)
    assert table.MINIMUM_PAYMENTS[table.PAYMENTS == 0].isna().all()
    assert table.PRC_FULL_PAYMENT[table.PAYMENTS == 0].eq(0).all()
    assert table.BALANCE.eq(0).equals(table.BALANCE_FREQUENCY.eq(0))
    assert (table.BALANCE <= 1.5 * table.CREDIT_LIMIT).all()
    assert not numbers.duplicated().any()


def test_what_the_reference_breaks_now_and_then_is_broken_as_rarely() -> None:
    table = draw_month(ROWS, OCTOBER, seed=0).table
    assert 0.01 < (table.BALANCE > table.CREDIT_LIMIT).mean() < 0.035
    assert 0.025 < table.MINIMUM_PAYMENTS.isna().mean() < 0.045


@pytest.mark.parametrize("step", [0, 11], ids=["first month", "twelfth month"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_month_is_close_to_the_reference(seed: int, step: int) -> None:
    if "CCDATA_CSV" not in os.environ:
        pytest.skip("CCDATA_CSV does not name the reference table")
    reference = pd.read_csv(os.environ["CCDATA_CSV"]).drop(columns="CUST_ID")
    table = draw_month(len(reference), pd.Period("2026-01", "M") + step, seed).table
    assert list(table.columns) == ["CUST_ID", *reference.columns]
    distances = {
        name: ks_2samp(reference[name].dropna(), table[name].dropna()).statistic
        for name in reference
    }
    assert max(distances.values()) <= 0.04, distances
    drawn = table[reference.columns].corr("spearman")
    assert (drawn - reference.corr("spearman")).abs().max(axis=None) <= 0.07


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_a_sample_is_written_whole_with_its_truth_beside_it(
    tmp_path: pathlib.Path, suffix: str
) -> None:
    output, truth = write_sample(tmp_path / "new" / f"2026-10{suffix}", 200, OCTOBER, seed=0)
    read = pd.read_parquet if suffix == ".parquet" else pd.read_csv
    month = draw_month(200, OCTOBER, seed=0)
    assert_frame_equal(read(output), month.table)
    assert list(read(truth).CUST_ID) == list(month.truth.CUST_ID)
    assert truth.name == ("2026-10.truth.parquet" if suffix == ".parquet" else "2026-10.truth.csv")
    assert sorted(output.parent.iterdir()) == sorted([output, truth])
    first = output.read_bytes(), truth.read_bytes()
    write_sample(output, 200, OCTOBER, seed=0)
    assert (output.read_bytes(), truth.read_bytes()) == first


def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, truth = write_sample(tmp_path / "month.csv", 50, OCTOBER, seed=0)
    before = output.read_bytes(), truth.read_bytes()

    def fail(frame: pd.DataFrame, path: pathlib.Path) -> None:
        path.write_text("half a fi")
        raise OSError("disk full")

    monkeypatch.setattr(sample, "_write", fail)
    with pytest.raises(OSError, match="disk full"):
        write_sample(output, 60, OCTOBER, seed=1)
    assert (output.read_bytes(), truth.read_bytes()) == before
    assert sorted(tmp_path.iterdir()) == sorted([output, truth])


def test_another_kind_of_file_is_refused_with_the_three_that_are_written(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(ValueError, match=r"month\.xlsx .*\.csv, \.csv\.gz, \.parquet"):
        write_sample(tmp_path / "month.xlsx", 50, OCTOBER, seed=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("rows", "month", "seed", "says"),
    [
        (0, "2026-10", 0, "rows is 0"),
        (80_001, "2026-10", 0, "rows is 80,001; give 1 to 80,000"),
        (10, "2026-10", -1, "seed is -1"),
        (10, "1999-12", 0, "begin with 2000-01"),
    ],
)
def test_arguments_out_of_range_are_refused(rows: int, month: str, seed: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        draw_month(rows, pd.Period(month, "M"), seed)


def test_a_period_that_is_no_month_is_refused() -> None:
    with pytest.raises(ValueError, match="give a month"):
        draw_month(10, pd.Period("2026-10-01", "D"), seed=0)


@pytest.mark.parametrize(
    ("share", "source", "target", "says"),
    [
        (1.5, None, None, "share of moves is 1.5"),
        (0.1, "loan", None, "no usage pattern 'loan'"),
        (0.1, "cash", "cash", "to itself"),
    ],
)
def test_moves_that_cannot_be_are_refused(
    share: float, source: str | None, target: str | None, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Moves(OCTOBER, share, source, target)


def test_every_pattern_is_drawn() -> None:
    truth = draw_month(ROWS, OCTOBER, seed=0).truth
    assert set(truth.pattern) == set(PATTERNS)
    assert truth.pattern.value_counts(normalize=True).min() > 0.05
