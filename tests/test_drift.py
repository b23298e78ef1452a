"""Planted shifts are found in their size, and nothing is found where nothing happened."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from expectations.contract import Contract
from expectations.gate import check
from expectations.rules import Limits, drift_rules
from tasks.drift import (
    bin_edges,
    birth_of,
    distance_from_birth,
    drift_of,
    moved_most,
    not_compared,
    reference_of,
    segment_drift,
)
from tests.planted import contract_of

ROWS = 3000
COLUMNS = {
    "spent": {"kind": "money"},
    "visits": {"kind": "count"},
    "repeat": {"kind": "share"},
    "mood": {"kind": "score"},
    "tenure": {"kind": "months"},
}


def shop(**changed: Any) -> Contract:
    columns = {name: kind for name, kind in {**COLUMNS, **changed}.items() if kind}
    return contract_of("x").model_validate(
        {"name": "shop", "id": {"column": "customer"}, "columns": columns}
    )


SHOP = shop()


def customers(seed: int = 0, rows: int = ROWS) -> pd.DataFrame:
    """Amounts with many zeros, counts, shares with a spike at 1, a score, a constant."""
    rng = np.random.default_rng(seed)
    spends = rng.random(rows) < 0.6
    return pd.DataFrame(
        {
            "customer": [f"K{row:05d}" for row in range(rows)],
            "spent": np.where(spends, np.exp(rng.normal(6, 1, rows)), 0).round(2),
            "visits": rng.poisson(4, rows).astype(float),
            "repeat": np.where(rng.random(rows) < 0.4, 1, rng.integers(0, 12, rows) / 12),
            "mood": rng.normal(50, 10, rows),
            "tenure": 12.0,
        }
    )


CLEAN = customers()
SEGMENT = pd.Series(np.where(CLEAN["mood"] > 55, "S02", "S01")).mask(CLEAN["visits"] == 0, "S03")
REFERENCE = reference_of(CLEAN, SHOP, SEGMENT)


def psi_of(now: pd.DataFrame, contract: Contract = SHOP) -> dict[str, float]:
    return drift_of(REFERENCE, now, contract).set_index("column")["psi"].to_dict()


def shift_of(now: pd.DataFrame) -> dict[str, float]:
    return drift_of(REFERENCE, now, SHOP).set_index("column")["shift"].to_dict()


# ----------------------------------------------------------------------------------- columns
def test_the_same_table_has_not_drifted() -> None:
    assert psi_of(CLEAN) == dict.fromkeys(COLUMNS, 0.0)
    shifts = shift_of(CLEAN)
    assert np.isnan(shifts.pop("tenure"))  # it does not vary, so there is no unit to tell it in
    assert shifts == dict.fromkeys(shifts, 0.0)
    assert (segment_drift(REFERENCE, CLEAN, SHOP, SEGMENT).drop(columns="tenure") == 0).all(None)
    assert moved_most(segment_drift(REFERENCE, CLEAN, SHOP, SEGMENT)) == []


def test_a_reference_is_json_of_finite_numbers_and_survives_the_way_there_and_back() -> None:
    again = json.loads(json.dumps(REFERENCE, allow_nan=False))
    assert again == REFERENCE
    assert drift_of(again, CLEAN, SHOP)["psi"].tolist() == [0.0] * 5
    assert not [id_ for id_ in CLEAN["customer"] if id_ in json.dumps(REFERENCE)]


def test_another_draw_of_the_same_customers_has_hardly_drifted() -> None:
    now = customers(seed=1)
    assert max(psi_of(now).values()) < 0.02
    assert max(abs(shift) for shift in shift_of(now).values() if shift == shift) < 0.08


def test_the_order_of_rows_does_not_count() -> None:
    now, order = customers(seed=1), np.random.default_rng(0).permutation(ROWS)
    mixed = now.iloc[order]
    assert psi_of(mixed) == pytest.approx(psi_of(now))
    there = segment_drift(REFERENCE, now, SHOP, SEGMENT)
    pd.testing.assert_frame_equal(segment_drift(REFERENCE, mixed, SHOP, SEGMENT.iloc[order]), there)
    reference = reference_of(CLEAN.iloc[order], SHOP, SEGMENT.iloc[order])
    for name, then in REFERENCE["columns"].items():
        mixed_up = reference["columns"][name]
        assert (mixed_up["edges"], mixed_up["shares"]) == (then["edges"], then["shares"])
        assert (mixed_up["mean"], mixed_up["sd"]) == pytest.approx((then["mean"], then["sd"]))


@pytest.mark.parametrize("unit", [0.01, 100])
def test_a_money_column_in_another_unit_is_seen(unit: float) -> None:
    drifted = psi_of(CLEAN.assign(spent=CLEAN["spent"] * unit))
    assert drifted.pop("spent") > 1
    assert max(drifted.values()) == 0


def test_a_shift_is_told_in_standard_deviations() -> None:
    spread = CLEAN["mood"].std(ddof=0)
    shifts = shift_of(CLEAN.assign(mood=CLEAN["mood"] - 0.7 * spread))
    assert shifts["mood"] == pytest.approx(-0.7)
    assert shifts["visits"] == 0
    doubled = CLEAN.assign(spent=np.expm1(2 * np.log1p(CLEAN["spent"])))
    log = np.log1p(CLEAN["spent"])
    assert shift_of(doubled)["spent"] == pytest.approx(log.mean() / log.std(ddof=0))


def test_a_column_that_did_not_vary_has_no_unit_to_tell_its_shift_in() -> None:
    then = CLEAN.assign(tenure=0.1)  # whose standard deviation is 1e-17 by rounding
    reference, births = reference_of(then, SHOP, SEGMENT), birth_of(then, SHOP, SEGMENT)
    now = then.assign(tenure=0.2)
    assert drift_of(reference, now, SHOP).set_index("column").loc["tenure", "psi"] > 1
    assert drift_of(reference, now, SHOP)["shift"].isna().tolist() == [False] * 4 + [True]
    assert segment_drift(reference, now, SHOP, SEGMENT)["tenure"].isna().all()
    assert distance_from_birth(births, now, SHOP, SEGMENT).max() < 1e-9


def test_psi_is_the_sum_over_the_bins_by_hand() -> None:
    """Of 40 low values and 160 high ones 20, then all 40 go up: .1 and .9, then 0 and 1."""
    then = pd.DataFrame({"customer": "x", "a": np.repeat([1.0, 2.0], [40, 160])})
    contract = contract_of("a")
    reference = reference_of(then, contract, pd.Series(["S01"] * 200))
    assert reference["columns"]["a"]["shares"] == [0.2, 0.8, 0]  # below, at and above 2
    half, all_ = 0.1 * np.log(2) + 0.1 * np.log(0.9 / 0.8), 0.2 * np.log(0.2 / 1e-4 / 0.8)
    for gone, psi in ((20, half), (40, all_)):
        now = then.assign(a=then["a"].where(then.index >= gone, 2.0))
        assert drift_of(reference, now, contract)["psi"].tolist() == [pytest.approx(psi)]


@pytest.mark.parametrize("column", ["spent", "repeat", "tenure"])
def test_a_value_that_many_have_is_a_bin_of_its_own(column: str) -> None:
    """Zeros, full shares, a constant: that they went up a little or down a little is seen."""
    spike = CLEAN[column].mode()[0]
    for other in (spike - 1e-3, spike + 1e-3):
        now = CLEAN.assign(**{column: CLEAN[column].replace(spike, other)})
        assert psi_of(now)[column] > 1


def test_a_small_table_has_fewer_bins() -> None:
    rng = np.random.default_rng(0)
    for rows, bins in ((30, 2), (250, 5), (500, 10), (5000, 10)):
        assert len(bin_edges(rng.normal(size=rows))) == bins - 1
    by_chance = [
        drift_of(reference_of(now, SHOP, SEGMENT[:120]), later, SHOP)["psi"].max()
        for now, later in ((customers(2 * i, 120), customers(2 * i + 1, 120)) for i in range(20))
    ]
    assert np.mean(np.array(by_chance) > Limits().warn_psi) < 0.2


def test_gaps_are_left_out() -> None:
    gappy = CLEAN.assign(mood=CLEAN["mood"].mask(np.arange(ROWS) % 3 == 0))
    reference = reference_of(gappy, SHOP, SEGMENT)
    assert drift_of(reference, gappy, SHOP).set_index("column").loc["mood"].tolist() == [0, 0]
    nothing = CLEAN.assign(mood=np.nan)
    assert "mood" not in reference_of(nothing, SHOP, SEGMENT)["columns"]
    assert np.isnan(psi_of(nothing)["mood"])
    json.dumps(reference_of(nothing, SHOP, SEGMENT), allow_nan=False)


# ------------------------------------------------------------------- columns of one month only
def test_columns_that_came_or_went_are_named_and_not_compared() -> None:
    later = shop(mood=None, height={"kind": "score"}, visits={"kind": "score"})
    assert not_compared(REFERENCE, later) == {
        "gone": ["visits", "mood"],
        "new": ["visits", "height"],
    }
    now = CLEAN.assign(height=1.8).drop(columns="mood")
    assert list(psi_of(now, later)) == ["spent", "repeat", "tenure"]
    assert list(segment_drift(REFERENCE, now, later, SEGMENT)) == ["spent", "repeat", "tenure"]
    assert not_compared(REFERENCE, SHOP) == {"gone": [], "new": []}
    births = birth_of(CLEAN, SHOP, SEGMENT)
    assert distance_from_birth(births, now, later, SEGMENT).notna().all()
    strange = contract_of("a")
    nothing = drift_of(REFERENCE, pd.DataFrame({"customer": ["x"], "a": [1.0]}), strange)
    assert (len(nothing), list(nothing)) == (0, ["column", "psi", "shift"])


# ---------------------------------------------------------------------------------- segments
def test_a_shift_of_one_segment_is_found_there_and_only_there() -> None:
    spread = CLEAN["mood"].std(ddof=0)
    now = CLEAN.assign(mood=CLEAN["mood"] + spread * (SEGMENT == "S02"))
    drift = segment_drift(REFERENCE, now, SHOP, SEGMENT)
    assert drift.loc["S02", "mood"] == pytest.approx(1)
    others = drift.drop(columns="tenure").mask(drift.abs() > 0.99).fillna(0)
    assert others.abs().max(axis=None) < 1e-9
    assert moved_most(drift) == [
        {"segment": "S02", "column": "mood", "shift": 1.0, "says": "mood up by 1.00 sd"}
    ]


def test_the_farthest_columns_are_told_first() -> None:
    drift = pd.DataFrame(
        {"a": [0.1, 0.004], "b": [-0.5, np.nan], "c": [0.2, 0.0], "d": [0.3, -0.1]},
        index=["S01", "S02"],
    )
    assert [one["says"] for one in moved_most(drift)] == [
        "b down by 0.50 sd", "d up by 0.30 sd", "c up by 0.20 sd", "d down by 0.10 sd",
    ]  # fmt: skip
    assert [one["segment"] for one in moved_most(drift, most=1)] == ["S01", "S02"]


def test_only_segments_of_both_months_are_compared() -> None:
    renamed = SEGMENT.replace("S02", "S09").mask(SEGMENT == "S03")
    assert segment_drift(REFERENCE, CLEAN, SHOP, renamed).index.tolist() == ["S01"]


def test_customers_and_segments_are_matched_by_position() -> None:
    now = CLEAN.set_axis(np.arange(ROWS)[::-1])
    pd.testing.assert_frame_equal(
        segment_drift(REFERENCE, now, SHOP, SEGMENT), segment_drift(REFERENCE, CLEAN, SHOP, SEGMENT)
    )


# -------------------------------------------------------------------------------- since birth
def test_a_segment_knows_how_far_it_has_come_from_its_birth() -> None:
    births = json.loads(json.dumps(birth_of(CLEAN, SHOP, SEGMENT), allow_nan=False))
    at_birth = distance_from_birth(births, CLEAN, SHOP, SEGMENT)
    assert at_birth.to_dict() == pytest.approx({"S01": 0, "S02": 0, "S03": 0})
    spread = CLEAN["mood"].std(ddof=0)
    now = CLEAN.assign(mood=CLEAN["mood"] + 3 * spread * (SEGMENT == "S02"))
    later = distance_from_birth(births, now, SHOP, SEGMENT)
    assert later["S02"] == pytest.approx(3 / np.sqrt(4))  # of four columns that varied at birth
    assert later.drop("S02").max() < 1e-9
    assert later.name == "from_birth"


def test_small_steps_add_up() -> None:
    """A month against the one before hardly differs; against birth the way is seen."""
    births, reference, now = birth_of(CLEAN, SHOP, SEGMENT), REFERENCE, CLEAN
    spread = CLEAN["mood"].std(ddof=0)
    for month in range(1, 13):
        now = now.assign(mood=now["mood"] + 0.1 * spread)
        step = segment_drift(reference, now, SHOP, SEGMENT)["mood"]
        assert step.tolist() == pytest.approx([0.1] * 3)
        come = distance_from_birth(births, now, SHOP, SEGMENT)
        assert come.tolist() == pytest.approx([0.1 * month / 2] * 3)
        reference = reference_of(now, SHOP, SEGMENT)


def test_a_segment_without_a_known_birth_has_no_distance() -> None:
    births = birth_of(CLEAN, SHOP, SEGMENT)
    renamed = SEGMENT.replace("S02", "S09")
    found = distance_from_birth(births, CLEAN, SHOP, renamed)
    assert found.isna().to_dict() == {"S01": False, "S03": False, "S09": True}


# -------------------------------------------------------------------------------- and the gate
def test_the_gate_asks_by_the_reference_what_is_told_of_the_drift() -> None:
    rules = drift_rules(SHOP, Limits(), json.loads(json.dumps(REFERENCE)))
    assert check("clean", CLEAN, rules).answer == "pass"
    for factor, answer in ((1.2, "pass"), (1.7, "warn"), (3.0, "ask")):
        now = CLEAN.assign(spent=CLEAN["spent"] * factor)
        verdict = check("clean", now, rules)
        assert verdict.answer == answer
        assert {one.rule for one in verdict.failed} <= {"spent.psi_warn", "spent.psi_ask"}
        assert {one.observed for one in verdict.failed} <= {f"{psi_of(now)['spent']:.6g}"}


def test_no_table_is_changed() -> None:
    clean, segment = CLEAN.copy(deep=True), SEGMENT.copy(deep=True)
    reference_of(CLEAN, SHOP, SEGMENT)
    drift_of(REFERENCE, CLEAN, SHOP)
    birth_of(CLEAN, SHOP, SEGMENT)
    pd.testing.assert_frame_equal(CLEAN, clean)
    pd.testing.assert_series_equal(SEGMENT, segment)
