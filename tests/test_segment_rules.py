"""Rules say what they were measured on, in the words and numbers that are printed."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from expectations.contract import Contract
from tasks import segment_rules
from tasks.cleaning import clean_customers
from tasks.fetching import fetch
from tasks.ingestion import SourceOptions, read_customers
from tasks.kmeans import fit_kmeans
from tasks.personas import readable_cutoff, shortest_between
from tasks.rule_words import rule_in_words
from tasks.scaling import ScalingOptions, scale_customers
from tasks.segment_rules import SegmentRules, explain_by_rules, matches

NAN = float("nan")
SHOP = Contract.model_validate(
    {
        "name": "shop",
        "id": {"column": "customer"},
        "columns": {
            "spend": {"kind": "money", "meaning": "money spent"},
            "rates": {"kind": "money", "meaning": "instalments"},
            "back": {"kind": "share", "meaning": "share sent back"},
            "known": {"kind": "months", "meaning": "months known"},
            "late": {"kind": "score", "max_null_share": 1},
            "debt": {"kind": "money", "low": -1e9, "meaning": "debt"},
            "region": {"kind": "category", "max_null_share": 1},
        },
    }
)


def customers(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Half of them pay in instalments; the columns know nothing of each other."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer": [f"K{number:04d}" for number in rng.permutation(n)],
            "spend": rng.uniform(10, 1000, n).round(2),
            "rates": np.where(rng.random(n) < 0.5, rng.uniform(40, 400, n), 0),
            "back": rng.integers(0, 13, n) / 12,
            "known": rng.integers(1, 25, n).astype(float),
            "late": rng.normal(size=n),
            "debt": rng.normal(0, 100, n),
            "region": rng.choice(["north", "south"], n),
        }
    )


def with_rule(clean: pd.DataFrame) -> pd.Series:
    """S01 spends above 500 and has no instalments, S02 has some and is long known, S10 the rest."""
    first = (clean["spend"] > 500) & (clean["rates"] == 0)
    second = (clean["rates"] > 0) & (clean["known"] > 12)
    return pd.Series(np.select([first, second], ["S01", "S02"], "S10"))


def lines_of(found: SegmentRules) -> dict[str, dict[str, Any]]:
    return {line["segment"]: line for line in found.rules.to_dict("records")}


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    return customers()


@pytest.fixture(scope="module")
def found(clean: pd.DataFrame) -> SegmentRules:
    return explain_by_rules(with_rule(clean), clean, SHOP, 0)


def test_planted_rules_are_found_and_said_in_plain_words(found: SegmentRules) -> None:
    lines = lines_of(found)
    assert list(lines) == ["S01", "S02", "S10"]
    conditions = lines["S01"]["conditions"]
    assert len(conditions) == 1
    assert conditions[0]["rates"] == {"at_most": 0.0}
    assert list(conditions[0]["spend"]) == ["above"]
    assert conditions[0]["spend"]["above"] == pytest.approx(500, abs=10)
    cutoff = f"{conditions[0]['spend']['above']:,g}"
    assert set(lines["S01"]["says"].split(" and ")) == {
        f"money spent above {cutoff}",
        "no instalments",
    }
    assert set(lines["S02"]["says"].split(" and ")) == {"some instalments", "months known above 12"}
    assert min(lines["S01"]["precision"], lines["S01"]["coverage"]) > 0.95
    assert found.accuracy > 0.97
    assert 2 <= found.depth <= 5


def test_a_second_part_is_said_where_it_finds_clearly_more(found: SegmentRules) -> None:
    says, conditions = (lines_of(found)["S10"][of] for of in ("says", "conditions"))
    assert len(conditions) == 2
    assert says.count("; or ") == 1
    assert sorted(len(part) for part in conditions) == [2, 2]
    assert "no instalments" in says
    assert "some instalments" in says
    assert lines_of(found)["S10"]["precision"] > 0.95
    assert lines_of(found)["S10"]["coverage"] > 0.95


def test_a_second_part_that_finds_few_more_is_left_out(clean: pd.DataFrame) -> None:
    main = clean["known"] > 12
    little = ~main & (clean["back"] > 0.9) & (clean["rates"] > 0)
    assert 0.02 < little.sum() / (main | little).sum() < 0.1
    segment = pd.Series(np.where(main | little, "S01", "S02"))
    line = lines_of(explain_by_rules(segment, clean, SHOP, 0))["S01"]
    assert line["says"] == "months known above 12"
    assert line["coverage"] < 1


def test_precision_and_coverage_are_those_of_customers_the_rule_never_saw(
    clean: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    parted = []
    kept = segment_rules._held_out

    def note(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        parted.append((labels, kept(labels, rng)))
        return parted[-1][1]

    monkeypatch.setattr(segment_rules, "_held_out", note)
    segment = with_rule(clean).mask(np.random.default_rng(1).random(len(clean)) < 0.2, "S02")
    found = explain_by_rules(segment, clean, SHOP, 0)
    labels, held_out = parted[0]
    in_order = clean.sort_values("customer").reset_index(drop=True)
    assert held_out.mean() == pytest.approx(1 / 3, abs=0.01)
    for of, line in lines_of(found).items():
        fulfils = matches(json.loads(json.dumps(line["conditions"])), in_order)[held_out]
        is_own = labels[held_out] == of
        assert is_own.mean() == pytest.approx((labels == of).mean(), abs=0.01)
        assert line["precision"] == (fulfils & is_own).sum() / fulfils.sum()
        assert line["coverage"] == (fulfils & is_own).sum() / is_own.sum()


def test_noise_has_no_rules_that_hold_for_others(clean: pd.DataFrame) -> None:
    segment = pd.Series(np.random.default_rng(5).choice(["S01", "S02"], len(clean)))
    found = explain_by_rules(segment, clean, SHOP, 0)
    precision = found.rules["precision"].dropna()
    assert (precision < 0.65).all()
    assert found.accuracy < 0.6


def test_a_rule_that_is_no_better_than_everyone_is_still_a_rule(clean: pd.DataFrame) -> None:
    drawn = np.random.default_rng(6).random(len(clean)) < 0.8
    line = lines_of(explain_by_rules(pd.Series(np.where(drawn, "S01", "S02")), clean, SHOP, 0))
    assert line["S01"]["says"] != ""
    assert 0.7 < line["S01"]["precision"] < 0.9


def test_of_bounds_that_may_go_the_one_that_matters_least_does() -> None:
    table = pd.DataFrame({"known": np.repeat([1.0, 9], 100), "late": np.tile(np.arange(100.0), 2)})
    part = {"known": {"above": 5.0}, "late": {"above": 2.0}}
    is_own = table["known"].to_numpy() > 5
    assert segment_rules._pruned([part], table, is_own) == [{"known": {"above": 5.0}}]
    assert segment_rules._pruned([dict(reversed(part.items()))], table, is_own) == [
        {"known": {"above": 5.0}}
    ]


def test_who_is_held_out_has_no_say_in_the_rules(
    clean: pd.DataFrame, found: SegmentRules, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = []
    kept = segment_rules._held_out
    monkeypatch.setattr(
        segment_rules, "_held_out", lambda *known: masks.append(kept(*known)) or masks[-1]
    )
    segment = with_rule(clean)
    explain_by_rules(segment, clean, SHOP, 0)
    in_order = clean.sort_values("customer")
    is_odd = masks[0] & (np.cumsum(masks[0]) > 60) & (in_order["spend"] > 500)
    odd = in_order.assign(spend=in_order["spend"].mask(is_odd, 450))
    again = explain_by_rules(segment[in_order.index], odd, SHOP, 0)
    assert again.rules["conditions"].tolist() == found.rules["conditions"].tolist()
    assert lines_of(again)["S01"]["coverage"] < 0.5


def test_of_three_places_the_two_that_hold_most_are_said(clean: pd.DataFrame) -> None:
    is_own = clean["known"].le(3) | clean["known"].between(8, 14) | clean["known"].ge(19)
    found = explain_by_rules(pd.Series(np.where(is_own, "S01", "S02")), clean, SHOP, 0)
    says = lines_of(found)["S01"]["says"]
    assert says == "months known above 7 and up to 14; or months known above 18"


def test_a_segment_too_small_to_measure_has_no_rule(clean: pd.DataFrame) -> None:
    segment = with_rule(clean)
    segment[clean["spend"].nlargest(9).index] = "S03"  # three of them are held out
    line = lines_of(explain_by_rules(segment, clean, SHOP, 0))["S03"]
    assert line["says"] == ""
    assert line["conditions"] == []
    assert np.isnan(line["precision"])
    assert np.isnan(line["coverage"])
    told = lines_of(explain_by_rules(segment, clean, SHOP, 0, min_cell=2))["S03"]
    assert told["says"].startswith("money spent above 9")


def test_one_customer_alone_in_a_segment_and_one_segment_alone_do_no_harm(
    clean: pd.DataFrame,
) -> None:
    segment = with_rule(clean)
    segment[0] = "S11"
    assert lines_of(explain_by_rules(segment, clean, SHOP, 0))["S11"]["says"] == ""
    alone = explain_by_rules(pd.Series(["S01"] * len(clean)), clean, SHOP, 0)
    assert alone.rules["says"].tolist() == [""]
    assert alone.depth == 0


def test_the_order_of_rows_and_the_index_do_not_matter(
    clean: pd.DataFrame, found: SegmentRules
) -> None:
    order = np.random.default_rng(3).permutation(len(clean))
    segment = with_rule(clean).iloc[order]
    again = explain_by_rules(segment, clean.iloc[order].reset_index(drop=True), SHOP, 0)
    pd.testing.assert_frame_equal(again.rules, found.rules)
    assert again.accuracy == found.accuracy


def test_other_ids_are_other_ids_and_nothing_else(clean: pd.DataFrame, found: SegmentRules) -> None:
    swapped = with_rule(clean).replace({"S01": "S30", "S02": "S20"})
    lines = lines_of(explain_by_rules(swapped, clean, SHOP, 0))
    assert list(lines) == ["S10", "S20", "S30"]
    assert "no instalments" in lines["S30"]["says"]
    assert "months known above 12" in lines["S20"]["says"]
    assert lines["S30"]["precision"] > 0.95


def test_of_many_customers_only_a_sample_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_rules, "FIT_ROWS", 300)
    sizes = []
    kept = segment_rules._held_out
    monkeypatch.setattr(
        segment_rules,
        "_held_out",
        lambda labels, rng: sizes.append(len(labels)) or kept(labels, rng),
    )
    many = customers(900, seed=4)
    lines = lines_of(explain_by_rules(with_rule(many), many, SHOP, 0))
    assert sizes == [300]
    assert lines["S01"]["precision"] > 0.85


def test_a_gap_fulfils_no_condition() -> None:
    clean = customers(300)
    clean["late"] = np.where(np.arange(300) % 3 == 0, NAN, clean["late"])
    segment = pd.Series(np.where(clean["late"] > 0.2, "S01", "S02"))
    found = lines_of(explain_by_rules(segment, clean, SHOP, 0))
    conditions = found["S01"]["conditions"]
    assert not matches(conditions, clean)[clean["late"].isna()].any()
    assert found["S01"]["coverage"] > 0.9
    assert found["S02"]["coverage"] < 0.6


def test_a_column_of_gaps_alone_does_no_harm() -> None:
    clean = customers(300).assign(late=NAN)
    assert lines_of(explain_by_rules(with_rule(clean), clean, SHOP, 0))["S01"]["precision"] > 0.8


def test_matches_is_any_part_of_which_all_bounds_hold() -> None:
    table = pd.DataFrame({"a": [1.0, 2, 3, 4, NAN], "b": [0.0, 0, 5, 5, 5]})
    parts = [{"a": {"above": 1.0, "at_most": 3.0}, "b": {"at_most": 0.0}}, {"a": {"above": 3.0}}]
    assert matches(parts, table).tolist() == [False, True, False, True, False]
    assert not matches([], table).any()


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"spend": {"above": 500.0}, "rates": {"at_most": 0.0}},
         "money spent above 500 and no instalments"),
        ({"rates": {"above": 0.0}}, "some instalments"),
        ({"rates": {"above": 0.0, "at_most": 1250.0}}, "instalments above 0 and up to 1,250"),
        ({"spend": {"above": 1234567.25}}, "money spent above 1,234,567.25"),
        ({"back": {"at_most": 0.425}}, "share sent back at most 42.5%"),
        ({"back": {"at_most": 0.0}}, "share sent back at most 0%"),
        ({"known": {"at_most": 0.0}}, "months known at most 0"),
        ({"debt": {"at_most": 0.0}}, "debt at most 0"),
        ({"late": {"above": -0.25}, "known": {"above": 3.0}, "spend": {"at_most": 188.54}},
         "late above -0.25, months known above 3 and money spent at most 188.54"),
    ],
)  # fmt: skip
def test_a_rule_in_words(part: dict[str, Any], words: str) -> None:
    assert rule_in_words([part], SHOP) == words
    assert rule_in_words([part, part], SHOP) == f"{words}; or {words}"


finite = st.floats(-1e6, 1e6, allow_nan=False)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(finite, finite)
def test_a_number_between_two_has_as_few_digits_as_there_can_be(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assume(low < high)
    found = shortest_between(low, high)
    assert low <= found < high
    digits = len(f"{abs(found):.15g}".replace(".", "").strip("0").split("e")[0])
    for places in range(-6, 9):  # no rounding to fewer digits lies between
        near = round((low + high) / 2, places)
        if low <= near < high:
            assert digits <= max(1, len(f"{abs(near):.15g}".replace(".", "").strip("0")))


@pytest.mark.parametrize(
    ("low", "high", "shortest"),
    [(412.3, 587, 500), (-3, 2, 0), (0, 0.001, 0), (9, 10, 9), (0.41, 0.4167, 0.41),
     (188.541, 188.543, 188.541), (188.5414, 188.5436, 188.542), (-587, -412.3, -500),
     (0.99, 1.2, 1)],
)  # fmt: skip
def test_the_shortest_number_between(low: float, high: float, shortest: float) -> None:
    assert shortest_between(low, high) == shortest


def test_a_readable_cutoff_divides_as_the_tree_does_where_nothing_may_change() -> None:
    values = np.random.default_rng(0).lognormal(5, 1, 400)
    for low, high in pairwise(np.sort(values)[::20]):
        cutoff = (low + high) / 2
        found = readable_cutoff(values, cutoff, 0.0, 0.0)
        np.testing.assert_array_equal(values <= found, values <= cutoff)


def test_few_may_change_sides_for_fewer_digits() -> None:
    values = np.random.default_rng(0).lognormal(5, 1, 4000)
    cutoff = float(np.quantile(values, 0.6))
    found = readable_cutoff(values, cutoff, 0.0025, 0.0)
    assert found == round(found)
    assert 0 < abs((values <= found).sum() - (values <= cutoff).sum()) <= 10


@pytest.mark.parametrize(("few", "is_none"), [(5, True), (6, False)])
def test_a_cutoff_below_which_hardly_a_user_lies_is_none(few: int, is_none: bool) -> None:
    values = np.r_[np.zeros(50), np.full(few, 3.0), np.full(100 - few, 90.0)]
    assert (readable_cutoff(values, 40, 0.0, 0.05) == 0) is is_none
    assert readable_cutoff(values[50:], 40, 0.0, 0.05) > 0  # everyone uses it
    assert readable_cutoff(values - 1, 40, 0.0, 0.05) > 0  # below 0 it is no use


def test_bounds_that_became_one_number_are_told_exactly(clean: pd.DataFrame) -> None:
    table = clean[["rates"]].assign(rates=np.r_[np.zeros(300), 1, 2, 3, np.linspace(50, 90, 297)])
    path = ((0, "above", 0.5), (0, "at_most", 2.5))
    part = segment_rules._part(path, table, SHOP)
    assert 0 < part["rates"]["at_most"] < 3
    assert matches([part], table).sum() == 2


def test_hardly_any_is_none_only_where_the_column_counts_a_use() -> None:
    values = np.r_[np.zeros(50), 0.1, 0.11, np.linspace(0.5, 0.9, 48)]
    table = pd.DataFrame({"rates": values, "back": values})
    parts = [segment_rules._part(((at, "at_most", 0.3),), table, SHOP) for at in (0, 1)]
    assert parts == [{"rates": {"at_most": 0.0}}, {"back": {"at_most": 0.2}}]


def test_a_later_bound_on_a_column_is_the_closer_one() -> None:
    table = pd.DataFrame({"known": np.arange(1.0, 25)})
    path = ((0, "above", 3.5), (0, "at_most", 20.5), (0, "above", 8.5))
    assert segment_rules._part(path, table, SHOP) == {"known": {"above": 8.0, "at_most": 20.0}}


@pytest.fixture(scope="module")
def reference(reference_csv: Path, ccdata: Contract) -> SegmentRules:
    raw = read_customers(fetch(str(reference_csv)), ccdata, SourceOptions()).table
    clean = clean_customers(raw, ccdata).table
    scaled = scale_customers(clean, ccdata, ScalingOptions()).table
    labels = fit_kmeans(scaled.drop(columns=ccdata.id.column).to_numpy(), 7, 0, 10).labels_
    return explain_by_rules(pd.Series([f"S{one:02d}" for one in labels + 1]), clean, ccdata, 0)


def test_the_reference_tables_segments_are_told_by_rules(reference: SegmentRules) -> None:
    assert reference.accuracy >= 0.82
    assert reference.depth == 5
    assert (reference.rules["says"] != "").all()
    assert (reference.rules["precision"] > 0.6).all()
    assert (reference.rules["coverage"] > 0.6).all()
    assert reference.rules["precision"].mean() > 0.8
