"""Differences as effect sizes, disparities that give no small count away, and both in words."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations.contract import Contract
from tasks.reasons import (
    FOUR_FIFTHS,
    MIN_POINTS,
    differences,
    disparities,
    in_words,
    meaning_of,
    shortened,
    value_in_words,
)

NAN = float("nan")
SHOP = Contract.model_validate(
    {
        "name": "shop",
        "id": {"column": "customer"},
        "columns": {
            "SPENT_IN_ALL": {"kind": "money", "meaning": "money spent, all shops"},
            "visits": {"kind": "count", "max_null_share": 1},
            "back": {"kind": "share", "meaning": "share sent back"},
            "known": {"kind": "months", "meaning": "months since the first order"},
            "secret": {"kind": "score", "use": "ignore"},
            "late": {"kind": "score", "use": "describe", "meaning": ""},
            "region": {"kind": "category", "max_null_share": 1},
            "member": {"kind": "flag", "max_null_share": 1},
            "remark": {"kind": "text", "max_null_share": 1},
        },
    }
)


def table_of(n: int, **columns: Any) -> pd.DataFrame:
    """Customers of whom nothing is told but these columns."""
    plain = dict.fromkeys(("SPENT_IN_ALL", "visits", "back", "known", "late", "secret"), 0.0)
    rest = {"region": None, "member": None, "remark": "a secret"}
    return pd.DataFrame({**plain, **rest, **columns}, index=range(n))


def line_of(table: pd.DataFrame, segment: str, column: str) -> dict[str, Any]:
    lines = table[(table["segment"] == segment) & (table["column"] == column)]
    assert len(lines) == 1
    return lines.to_dict("records")[0]


def test_medians_and_pairs_counted_by_hand() -> None:
    segment = pd.Series(["S01", "S01", "S01", "S02", "S02"])
    clean = table_of(5, SPENT_IN_ALL=[1.0, 5, 9, 5, 3])
    line = line_of(differences(segment, clean, SHOP), "S01", "SPENT_IN_ALL")
    # pairs with (5, 3): 1 loses both, 5 ties and wins, 9 wins both
    assert (line["median"], line["elsewhere"]) == (5, 4)
    assert line["higher"] == pytest.approx(3.5 / 6)
    assert line["effect"] == pytest.approx(2 * 3.5 / 6 - 1)


def test_every_pair_is_compared_gaps_left_out() -> None:
    rng = np.random.default_rng(0)
    segment = pd.Series(rng.choice(["S01", "S02", "S10"], 90))
    values = np.where(rng.random(90) < 0.2, NAN, rng.integers(0, 6, 90))
    table = differences(segment, table_of(90, visits=values), SHOP)
    for of in ("S01", "S02", "S10"):
        line = line_of(table, of, "visits")
        inside, outside = values[segment == of], values[segment != of]
        inside, outside = inside[~np.isnan(inside)], outside[~np.isnan(outside)]
        pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(inside, outside)]
        assert line["higher"] == pytest.approx(np.mean(pairs))
        assert line["median"] == np.median(inside)
        assert line["elsewhere"] == np.median(outside)


def test_two_segments_mirror_each_other() -> None:
    rng = np.random.default_rng(1)
    segment = pd.Series(rng.choice(["S01", "S02"], 60))
    table = differences(segment, table_of(60, back=rng.random(60)), SHOP)
    first, second = (line_of(table, of, "back") for of in ("S01", "S02"))
    assert first["effect"] == pytest.approx(-second["effect"])
    assert first["effect"] != 0


def test_effects_do_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(2)
    segment, values = pd.Series(rng.choice(["S01", "S02"], 60)), rng.lognormal(size=60)
    both = [
        line_of(differences(segment, table_of(60, late=late), SHOP), "S01", "late")["effect"]
        for late in (values, np.log(values))
    ]
    assert both[0] == pytest.approx(both[1])


def test_all_numbers_that_may_be_told_are_and_the_strongest_comes_first() -> None:
    segment = pd.Series(["S10"] * 5 + ["S9"] * 5)
    clean = table_of(
        10,
        back=[0.1] * 4 + [0.9] + [0.2] * 5,
        known=[7.0] * 5 + [3.0] * 5,
        visits=[1.0, 1, 0, 0, 0] + [0] * 5,
    )
    table = differences(segment, clean, SHOP)
    assert table["segment"].tolist() == ["S9"] * 5 + ["S10"] * 5
    assert table["column"].tolist()[5:] == ["known", "back", "visits", "SPENT_IN_ALL", "late"]
    assert table["effect"].tolist()[5:] == pytest.approx([1, -0.6, 0.4, 0, 0])


def test_where_nobody_can_be_compared_with_there_is_no_row() -> None:
    alone = differences(pd.Series(["S01"] * 4), table_of(4, visits=[1.0, 2, 3, 4]), SHOP)
    assert alone.empty
    segment = pd.Series(["S01", "S01", "S02", "S02"])
    gaps = differences(segment, table_of(4, visits=[NAN, NAN, 3, 4]), SHOP)
    assert "visits" not in set(gaps["column"])
    assert len(gaps) == 8


def test_segments_and_customers_are_matched_by_position() -> None:
    segment = pd.Series(["S01", "S01", "S02", "S02"], index=[9, 8, 7, 6])
    clean = table_of(4, visits=[1.0, 2, 3, 4], region=list("aabb")).set_axis([3, 1, 2, 0])
    assert line_of(differences(segment, clean, SHOP), "S02", "visits")["effect"] == 1
    assert len(disparities(segment, clean, SHOP, 1)) == 0
    assert len(disparities(segment, clean, SHOP, 0)) == 4


def shares_told(*counts: tuple[int, int], min_cell: int = 5) -> pd.DataFrame:
    """Disparities of a flag that so many (have, have not) in S01, S02 ..."""
    segment = [f"S{at:02d}" for at, pair in enumerate(counts, 1) for _ in range(sum(pair))]
    member = [one for yes, no in counts for one in [True] * yes + [False] * no]
    clean = table_of(len(member), member=pd.array(member, dtype="boolean"))
    return disparities(pd.Series(segment), clean, SHOP, min_cell)


def test_shares_far_from_everyones_are_told() -> None:
    table = shares_told((60, 40), (30, 70), (30, 70))
    yes = table[table["value"] == "yes"].set_index("segment")
    assert yes["share"].to_dict() == {"S01": 0.6, "S02": 0.3, "S03": 0.3}
    assert yes["everyone"].tolist() == [0.4] * 3
    assert yes["ratio"].to_dict() == pytest.approx({"S01": 1.5, "S02": 0.75, "S03": 0.75})
    assert set(table["column"]) == {"member"}


def test_the_strongest_disparity_comes_first_on_either_side() -> None:
    table = shares_told((10, 90), (30, 70), (60, 40))
    yes = table[table["value"] == "yes"]
    assert yes["segment"].tolist() == ["S01", "S03"]
    assert yes["ratio"].tolist() == pytest.approx([0.3, 1.8])
    assert table["value"].tolist()[0] == "yes"


@pytest.mark.parametrize(
    ("here", "there", "told"),
    [
        (200, 100, True),  # 20 against 15 %: ratio 4/3
        (110, 90, False),  # 11 against 10 %: far from no one's four fifths
        (60, 30, False),  # 6 against 4.5 %: ratio 4/3, but 1.5 points
        (100, 200, True),  # 10 against 15 %: ratio 2/3
        (420, 580, False),  # 42 against 50 %: 8 points, but ratio .84
        (620, 380, False),  # 62 against 50 %: 12 points, but ratio 1.24
    ],
)
def test_a_share_needs_ratio_and_points(here: int, there: int, told: bool) -> None:
    table = shares_told((here, 1000 - here), (there, 1000 - there))
    yes = table[(table["value"] == "yes") & (table["segment"] == "S01")]
    assert len(yes) == told
    assert MIN_POINTS == 0.05
    assert FOUR_FIFTHS == 0.8


@pytest.mark.parametrize("pair", [(4, 96), (0, 100), (96, 4), (100, 0)])
def test_few_customers_or_few_others_are_not_told(pair: tuple[int, int]) -> None:
    table = shares_told(pair, (250, 250), (250, 250))
    assert "S01" not in set(table["segment"])


@pytest.mark.parametrize(("users", "told"), [(4, 0), (5, 1)])
def test_the_least_number_is_told(users: int, told: int) -> None:
    table = shares_told((users, 95), (300, 200), (5, 495))
    assert len(table[(table["segment"] == "S01") & (table["value"] == "yes")]) == told


def test_a_small_count_does_not_follow_from_the_others_and_everyone() -> None:
    table = shares_told((3, 97), (90, 10), (80, 20))
    assert not len(table[table["value"] == "yes"]) or set(
        table.loc[table["value"] == "yes", "segment"]
    ) == {"S02"}


def test_values_of_one_segment_do_not_give_its_last_one_away() -> None:
    region = [*"a" * 60, *"b" * 37, *"c" * 3, *"a" * 100, *"b" * 100, *"c" * 200]
    segment = pd.Series(["S01"] * 100 + ["S02"] * 400)
    table = disparities(segment, table_of(500, region=region), SHOP, 5)
    assert set(table.loc[table["segment"] == "S01", "value"]) == {"a"}  # b is the smaller


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=2, max_size=4))
def test_what_a_row_or_column_leaves_untold_is_never_a_few(counts: list[list[int]]) -> None:
    grid = np.array(counts)
    segment = np.repeat([f"S{at:02d}" for at in range(1, len(grid) + 1)], grid.sum(axis=1))
    region = np.concatenate([np.repeat(list("abc"), row) for row in grid])
    if not len(region):
        return
    table = disparities(pd.Series(segment), table_of(len(region), region=region), SHOP, 5)
    told = np.zeros(grid.shape, dtype=bool)
    for line in table.to_dict("records"):
        told[int(line["segment"][1:]) - 1, "abc".index(line["value"])] = True
    others = grid.sum(axis=1, keepdims=True) - grid
    assert (grid[told] >= 5).all()
    assert (others[told] >= 5).all()
    for axis, kinds in ((0, (grid, others)), (1, (grid,))):
        for kind in kinds:
            left = (kind * ~told).sum(axis=axis)
            asked = told.any(axis=axis) & ~told.all(axis=axis)
            assert (left[asked] >= 5).all()


def test_rare_values_are_one_line_and_gaps_are_nobodys() -> None:
    rare = [f"r{number % 30:02d}" for number in range(120)]
    region = [*rare, *["big"] * 180, *["big"] * 270, *rare[:30], *[None] * 50]
    segment = pd.Series(["S01"] * 300 + ["S02"] * 300 + ["S01"] * 50)
    table = disparities(segment, table_of(650, region=region), SHOP, 5)
    assert set(table["value"]) == {"(other)"}
    line = line_of(table, "S01", "region")
    assert line["share"] == pytest.approx(19 * 4 / 300)
    assert line["everyone"] == pytest.approx(19 * 5 / 600)


def test_free_text_and_unknown_columns_have_no_disparities() -> None:
    segment = pd.Series(["S01"] * 10 + ["S02"] * 10)
    clean = table_of(20, remark=["a"] * 10 + ["b"] * 10)
    table = disparities(segment, clean, SHOP, 1)
    assert table.columns.tolist() == ["column", "value", "segment", "share", "everyone", "ratio"]
    assert table.empty


def said(column: str, median: float, elsewhere: float, higher: float) -> str:
    line = {"column": column, "median": median, "elsewhere": elsewhere, "higher": higher}
    return in_words(line, SHOP)


def test_a_difference_is_a_sentence() -> None:
    assert (
        said("SPENT_IN_ALL", 1757.4, 217, 0.934)
        == "money spent: 1,757 against 217 elsewhere, higher in 93 of 100 comparisons"
    )
    assert (
        said("back", 0.25, 0.5, 0.2)
        == "share sent back: 25% against 50% elsewhere, lower in 80 of 100 comparisons"
    )
    assert said("late", 1, 1, 0.5) == "late: 1 against 1 elsewhere, as often higher as lower"


def test_nearly_all_comparisons_are_not_all_of_them() -> None:
    assert said("visits", 9, 1, 1).endswith("higher in all comparisons")
    assert said("visits", 9, 1, 0.997).endswith("higher in nearly all comparisons")
    assert said("visits", 1, 9, 0).endswith("lower in all comparisons")
    assert said("visits", 1, 9, 0.002).endswith("lower in nearly all comparisons")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("SPENT_IN_ALL", 1234567.8, "1,234,568"),
        ("SPENT_IN_ALL", 0.147, "0.15"),
        ("SPENT_IN_ALL", 0.0, "0"),
        ("visits", 2.5, "2.5"),
        ("back", 0.866, "87%"),
        ("back", 0.004, "0.4%"),
        ("back", 0.0, "0%"),
        ("known", 7.0, "7 months"),
        ("known", 12.0, "12 months"),
        ("late", -3.26, "-3.3"),
        ("late", NAN, "unknown"),
    ],
)
def test_numbers_are_told_as_their_kind_is(column: str, value: float, words: str) -> None:
    assert value_in_words(value, SHOP, column) == words


def with_meanings(first: str, second: str) -> Contract:
    columns = {"A_B": {"kind": "score", "meaning": first}, "c": {"kind": "score"}}
    columns["c"]["meaning"] = second
    return Contract.model_validate({"name": "m", "id": {"column": "i"}, "columns": columns})


def test_what_a_comma_adds_is_left_away_where_the_rest_is_clear() -> None:
    assert meaning_of("A_B", with_meanings("tea, all kinds", "coffee, black")) == "tea"
    assert meaning_of("A_B", with_meanings("tea, all kinds", "tea, green")) == "tea, all kinds"
    assert meaning_of("A_B", with_meanings("", "")) == "a b"


def test_a_text_is_one_line_and_not_too_long() -> None:
    assert shortened("a\n b\t\tc ", 10) == "a b c"
    assert shortened("x" * 10_000, 10) == "x" * 9 + "…"
    assert len(said_of_long()) < 200


def said_of_long() -> str:
    line = {"column": "A_B", "median": 1.0, "elsewhere": 2.0, "higher": 0.1}
    return in_words(line, with_meanings("m" * 10_000, ""))
