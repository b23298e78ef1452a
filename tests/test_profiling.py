"""Profiles against a table small enough to count by hand."""

import json

import pandas as pd
import pytest

from expectations.contract import Contract
from tasks.profiling import MOST_VALUES, profile_segments, value_shares

SHOP = Contract.model_validate(
    {
        "name": "shop",
        "id": {"column": "customer"},
        "value": "revenue",
        "columns": {
            "revenue": {"kind": "money"},
            "visits": {"kind": "count"},
            "plan": {"kind": "category", "max_null_share": 0.5},
            "member": {"kind": "flag"},
            "remark": {"kind": "text", "max_null_share": 1},
        },
    }
)
CLEAN = pd.DataFrame(
    {
        "customer": ["a", "b", "c", "d", "e"],
        "revenue": [10.0, 30.0, 20.0, 100.0, 40.0],
        "visits": [1.0, 2.0, 9.0, 4.0, 8.0],
        "plan": pd.array(["x", None, "y", "y", "y"], dtype="str"),
        "member": pd.array([True, False, True, True, True], dtype="boolean"),
        "remark": pd.array(["secret"] * 5, dtype="str"),
    }
)
SEGMENTS = pd.DataFrame({"segment": pd.array(["S01", "S01", "S01", "S02", "S02"], dtype="str")})


def profile(contract: Contract = SHOP, clean: pd.DataFrame = CLEAN) -> pd.DataFrame:
    return profile_segments(SEGMENTS, clean, contract).table.set_index("segment")


def test_sizes_shares_and_value_are_counted_per_segment() -> None:
    table = profile()
    assert table["size"].to_dict() == {"S01": 3, "S02": 2}
    assert table["share"].to_dict() == {"S01": 0.6, "S02": 0.4}
    assert table["value"].to_dict() == {"S01": 60.0, "S02": 140.0}
    assert table["value_share"].to_dict() == pytest.approx({"S01": 0.3, "S02": 0.7})


def test_numbers_are_told_by_their_median() -> None:
    table = profile()
    assert table["revenue"].to_dict() == {"S01": 20.0, "S02": 70.0}
    assert table["visits"].to_dict() == {"S01": 2.0, "S02": 6.0}


def test_categories_and_flags_are_shares_among_those_that_are_known() -> None:
    table = profile()
    assert table["plan = x"].to_dict() == {"S01": 0.5, "S02": 0.0}
    assert table["plan = y"].to_dict() == {"S01": 0.5, "S02": 1.0}
    assert table["member = yes"].to_dict() == pytest.approx({"S01": 2 / 3, "S02": 1.0})


def test_a_segment_of_which_nothing_is_known_has_no_shares() -> None:
    unknown = CLEAN.assign(
        plan=pd.array([None, None, None, "x", "y"], dtype="str"),
        member=pd.array([None, None, None, None, False], dtype="boolean"),
    )
    table = profile(clean=unknown)
    known = ["plan = x", "plan = y", "member = no"]
    assert table.loc["S01", known].isna().all()
    assert table.loc["S02", known].tolist() == [0.5, 0.5, 1.0]
    assert table["size"].tolist() == [3, 2]
    nothing = profile(clean=CLEAN.assign(plan=pd.array([None] * 5, dtype="str")))
    assert not [column for column in nothing if column.startswith("plan")]


def test_free_text_is_in_no_profile() -> None:
    assert not [column for column in profile() if "remark" in column]
    assert "secret" not in profile().to_csv()


def test_rare_values_of_a_category_are_pooled() -> None:
    many = pd.Series([f"v{number % 20:02d}" for number in range(400)] + ["v00"] * 5, name="plan")
    segment = pd.Series(["S01"] * 405, name="segment")
    shares = value_shares(many, segment)
    assert len(shares.columns) == MOST_VALUES + 1
    assert shares["plan = (other)"].iloc[0] == pytest.approx(8 * 20 / 405)
    assert shares.sum(axis=1).iloc[0] == pytest.approx(1)


def test_a_contract_without_value_has_no_value_shares() -> None:
    table = profile(SHOP.model_copy(update={"value": None}))
    assert table[["value", "value_share"]].isna().all(axis=None)


def test_a_month_in_which_nobody_is_worth_anything_has_unknown_value_shares() -> None:
    table = profile(clean=CLEAN.assign(revenue=0.0))
    assert table["value"].to_dict() == {"S01": 0.0, "S02": 0.0}
    assert table["value_share"].isna().all()
    balanced = profile(clean=CLEAN.assign(revenue=[1.0, 1, 1, -1, -2]))
    assert balanced["value_share"].isna().all()


def test_segments_are_listed_by_id_whatever_their_size() -> None:
    swapped = SEGMENTS.replace({"S01": "S02", "S02": "S01"})
    table = profile_segments(swapped, CLEAN, SHOP).table
    assert table[["segment", "name", "size"]].to_numpy().tolist() == [
        ["S01", "S01", 2], ["S02", "S02", 3],
    ]  # fmt: skip
    assert table["revenue"].tolist() == [70.0, 20.0]


def test_neither_table_is_changed() -> None:
    segments, clean = SEGMENTS.copy(deep=True), CLEAN.copy(deep=True)
    profile()
    pd.testing.assert_frame_equal(SEGMENTS, segments)
    pd.testing.assert_frame_equal(CLEAN, clean)


def test_segments_and_customers_are_matched_by_position() -> None:
    moved = CLEAN.set_axis([7, 3, 9, 1, 0])
    pd.testing.assert_frame_equal(profile(clean=moved), profile())


def test_the_log_is_json_with_null_for_what_is_not_known() -> None:
    made = profile_segments(SEGMENTS, CLEAN.assign(revenue=0.0), SHOP)
    first = json.loads(json.dumps(made.log, allow_nan=False))["segments"][0]
    known = {"id": "S01", "name": "S01", "size": 3, "share": 0.6}
    assert first == {**known, "value_share": None, "size_change": None}
