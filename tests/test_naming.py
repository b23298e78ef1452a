"""Names come from what segments are: never from their number, always told apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from expectations.contract import Contract
from tasks.cleaning import clean_customers
from tasks.fetching import fetch
from tasks.ingestion import SourceOptions, read_customers
from tasks.kmeans import fit_kmeans
from tasks.naming import LONGEST_NAME, name_segments
from tasks.scaling import ScalingOptions, scale_customers

TEA = {"name": "Tea drinkers", "code": "T1", "when": {"tea": {"above": 5}},
       "actions": {"retention": "A new pot.", "campaign": "First flush."}}  # fmt: skip
OWING = {"name": "Owing", "code": "D1", "when": {"debt": {"above": 5}}, "care": True,
         "actions": {"retention": "A talk.", "campaign": "No credit."}}  # fmt: skip
LOST = {"name": "Lost", "code": "L1", "when": {"cake": {"below": -5}}, "care": True,
        "actions": {"retention": "A map.", "campaign": "No noise."}}  # fmt: skip
COLUMNS: dict[str, dict[str, Any]] = {
    "tea": {"kind": "money"},
    "debt": {"kind": "money", "meaning": "money owed"},
    "cake": {"kind": "score"},
    "sum": {"kind": "score", "meaning": "a meaning far too long to be a part of any name"},
}


def cafe(*personas: dict[str, Any], **columns: dict[str, Any]) -> Contract:
    given = {"name": "cafe", "id": {"column": "guest"}, "columns": {**COLUMNS, **columns}}
    return Contract.model_validate({**given, "personas": list(personas)})


CAFE = cafe(TEA, OWING)


def guests(*segments: tuple[int, dict[str, Any]]) -> tuple[pd.Series, pd.DataFrame]:
    """So many guests in S01, S02 ..., like everyone but in the columns given, once or one each."""
    rng = np.random.default_rng(0)
    tables = []
    for at, (n, told) in enumerate(segments, 1):
        plain = {"tea": 1.0, "debt": 1.0, "cake": 1.0, "sum": 1.0}
        tables.append(pd.DataFrame({**plain, **told, "segment": f"S{at:02d}"}, index=range(n)))
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "guest", [f"G{number}" for number in rng.permutation(len(table))])
    return table["segment"], table.drop(columns="segment")


def share(n: int, of: int, there: float = 9.0) -> list[float]:
    return [there] * n + [1.0] * (of - n)


def named(
    *segments: tuple[int, dict[str, Any]], contract: Contract = CAFE, **more: Any
) -> pd.DataFrame:
    return name_segments(*guests(*segments), contract, **more).set_index("segment")


PLAIN: tuple[int, dict[str, Any]] = (40, {})


@pytest.mark.parametrize(
    ("fit", "is_persona"), [(100, True), (51, True), (50, False), (40, False), (30, False)]
)
def test_a_segment_is_a_persona_if_most_of_its_customers_are(fit: int, is_persona: bool) -> None:
    table = named((100, {"tea": share(fit, 100)}), PLAIN)
    assert (table.loc["S01", "persona"] == "Tea drinkers") is is_persona
    if is_persona:
        assert table.loc["S01", ["name", "code"]].tolist() == ["Tea drinkers", "T1"]
        assert table.loc["S01", "matched"] == fit / 100
        assert table.loc["S01", ["retention", "campaign"]].tolist() == [
            "A new pot.",
            "First flush.",
        ]
        assert not table.loc["S01", "care"]
    else:
        assert pd.isna(table.loc["S01", "persona"])
        assert np.isnan(table.loc["S01", "matched"])
        assert table.loc["S01", "code"] == "S01"
        assert table.loc["S01", ["retention", "campaign"]].tolist() == ["", ""]


@pytest.mark.parametrize(("fit", "is_persona"), [(45, True), (40, True), (39, False)])
def test_a_little_less_than_most_will_do_where_the_medians_agree(
    fit: int, is_persona: bool
) -> None:
    few = {"name": "Keen", "code": "K1", "when": {"tea": {"above": 5}, "cake": {"above": 5}}}
    n = 100
    tea, cake = np.ones(n), np.ones(n)
    tea[:fit], cake[:fit] = 9, 9  # the medians need a majority each, not the same one
    tea[fit : fit + 30], cake[fit + 30 :] = 9, 9
    table = named((n, {"tea": tea, "cake": cake}), PLAIN, contract=cafe(few))
    assert (table.loc["S01", "persona"] == "Keen") is is_persona


def test_most_customers_have_more_to_say_than_the_medians() -> None:
    keen = {"name": "Keen", "code": "K1", "when": {"tea": {"above": 5}, "cake": {"above": 5}}}
    tea, cake = np.full(100, 9.0), np.full(100, 9.0)
    tea[:45], cake[-45:] = 1, 1  # both in ten only, each in a majority
    debt = np.ones(100)
    debt[:45], debt[-10:] = 9, 9
    told = {"tea": tea, "cake": cake, "debt": debt}
    assert named((100, told), PLAIN, contract=cafe(keen, OWING)).loc["S01", "persona"] == "Owing"


def test_a_customer_counts_for_its_first_persona_only() -> None:
    both = (100, {"tea": 9.0, "debt": 9.0})
    assert named(both, PLAIN).loc["S01", "persona"] == "Tea drinkers"
    assert named(both, PLAIN, contract=cafe(OWING, TEA)).loc["S01", "persona"] == "Owing"


def test_a_persona_with_care_asks_for_care() -> None:
    table = named((20, {"debt": 9.0}), PLAIN)
    assert table["care"].to_dict() == {"S01": True, "S02": False}
    assert table["care"].dtype == bool
    assert table.loc["S01", "campaign"] == "No credit."


@pytest.mark.parametrize(("owing", "care"), [(34, True), (33, False)])
def test_a_third_in_care_asks_for_it_where_no_persona_fits(owing: int, care: bool) -> None:
    line = named((100, {"debt": share(owing, 100)}), PLAIN).loc["S01"]
    assert pd.isna(line["persona"])
    assert line["care"] == care
    assert line["campaign"] == ("No credit." if care else "")


def test_care_counts_over_all_its_personas_and_the_commonest_says_what_to_do() -> None:
    mixed = (100, {"debt": share(15, 100), "cake": [1.0] * 80 + [-9.0] * 20})
    line = named(mixed, PLAIN, contract=cafe(TEA, OWING, LOST)).loc["S01"]
    assert line["care"]
    assert line["campaign"] == "No noise."


def test_a_segment_that_is_no_persona_is_called_by_what_is_strongest() -> None:
    table = named(
        (30, {"debt": 4.0, "cake": np.linspace(0, 1.5, 30)}),
        (30, {"debt": 0.0, "cake": np.linspace(0, 2, 30)}),
        (30, {"debt": 1.0, "cake": 2.0}),
    )
    assert table["name"].to_dict() == {
        "S01": "High money owed, low cake",
        "S02": "No money owed, low cake",
        "S03": "High cake",
    }
    assert table["persona"].isna().all()


def test_a_second_column_that_says_the_same_adds_nothing() -> None:
    debt = np.linspace(2, 4, 30)
    first = (30, {"debt": debt, "sum": -debt, "cake": 3.0})
    name = named(first, PLAIN).loc["S01", "name"]
    assert name == "High money owed, high cake" or name == "High money owed"
    assert "sum" not in name
    alone = (30, {"debt": debt, "sum": 10 * debt})
    assert named(alone, PLAIN).loc["S01", "name"] == "High money owed"


def test_a_generated_name_is_short_whatever_the_columns_are_called() -> None:
    long = {"word_" * 2_000: {"kind": "score"}}
    segment, clean = guests((30, {}), PLAIN)
    clean = clean.assign(**{"word_" * 2_000: np.where(segment == "S01", 5.0, 1.0)})
    names = name_segments(segment, clean, cafe(**long))["name"]
    assert names.str.len().max() <= LONGEST_NAME
    assert names.is_unique


def test_a_name_is_of_one_column_where_two_are_too_long_for_it() -> None:
    long = {f"how_much_they_have_of_{of}": {"kind": "score"} for of in ("this", "that")}
    segment, clean = guests((30, {}), (90, {}))
    first, second = np.where(segment == "S01", 5.0, 1.0), np.arange(120) % 2 + 1.0
    clean = clean.assign(**dict(zip(long, (first, second + (segment == "S01")), strict=True)))
    names = name_segments(segment, clean, cafe(**long)).set_index("segment")["name"]
    assert names["S01"] == "High how much they have of this"


def test_a_long_meaning_gives_way_to_the_columns_own_name() -> None:
    assert named((30, {"sum": 4.0}), PLAIN).loc["S01", "name"] == "High sum"


def test_segments_that_differ_in_nothing_are_told_apart_by_their_ids() -> None:
    table = named(PLAIN, PLAIN)
    assert table["name"].to_dict() == {"S01": "Like everyone (S01)", "S02": "Like everyone (S02)"}


def test_two_segments_of_one_persona_say_how_they_differ_from_each_other() -> None:
    table = named(
        (30, {"tea": 9.0, "cake": 3.0}),
        (30, {"tea": 8.0, "cake": np.r_[np.zeros(20), np.full(10, 9.0)], "debt": 0.0}),
        (200, {"debt": 0.5}),
        given={"S01": " "},
    )
    assert table["name"].to_dict()["S01"] == "Tea drinkers: high tea"
    assert table["name"].to_dict()["S02"] == "Tea drinkers: low tea"
    assert table["persona"].tolist()[:2] == ["Tea drinkers"] * 2


def test_a_second_difference_is_said_where_one_does_not_tell_apart() -> None:
    table = named(
        (30, {"tea": 15.0, "cake": 3.0}),
        (30, {"tea": 15.0, "cake": 2.0}),
        (200, {"tea": 6.0, "cake": np.tile([3.0, 2.0], 100)}),
        (200, {}),
    )
    assert table["name"].tolist()[:3] == [
        "Tea drinkers: high tea, high cake", "Tea drinkers: high tea, low cake",
        "Tea drinkers: low tea",
    ]  # fmt: skip


def test_a_name_that_a_person_gave_wins_and_the_pattern_stays() -> None:
    table = named((20, {"debt": 9.0}), PLAIN, given={"S01": "Our friends", "S09": "Gone"})
    line = table.loc["S01"]
    assert line["name"] == "Our friends"
    assert (line["persona"], line["code"], line["care"]) == ("Owing", "D1", True)
    assert line["retention"] == "A talk."


def test_who_was_named_by_a_person_keeps_the_name_and_the_persona_steps_back() -> None:
    table = named((20, {"tea": 9.0}), (20, {"cake": 7.0}), given={"S02": "tea DRINKERS"})
    assert table["name"].to_dict() == {"S01": "Tea drinkers: high tea", "S02": "tea DRINKERS"}


def test_persons_may_give_names_that_differ_in_case_but_not_the_same() -> None:
    given = {"S01": "Vip", "S02": "VIP", "S03": "Same", "S04": "Same"}
    table = named(*[(20, {"tea": 9.0})] * 4, given=given)
    assert table["name"].tolist() == ["Vip", "VIP", "Same (S03)", "Same (S04)"]


def test_a_made_up_name_gives_way_to_one_that_a_person_gave() -> None:
    given = {"S03": "Tea drinkers: high tea", "S04": " "}
    table = named((20, {"tea": 9.0}), (20, {"tea": 8.0}), PLAIN, (30, {"cake": 4.0}), given=given)
    assert table["name"].tolist() == [
        "Tea drinkers: high tea (S01)", "Tea drinkers: low tea", "Tea drinkers: high tea",
        "High cake, low tea",
    ]  # fmt: skip


def test_codes_are_unique_and_follow_the_fit_not_the_number() -> None:
    loose = (100, {"tea": share(60, 100)})
    tight = (50, {"tea": 9.0})
    small = (20, {"tea": 9.0})
    for order in ([loose, tight, small], [small, loose, tight], [tight, small, loose]):
        codes = named(*order, PLAIN)["code"].tolist()
        by_size = dict(zip([n for n, _ in order], codes, strict=False))
        assert by_size == {50: "T1", 20: "T1-2", 100: "T1-3"}


def test_a_code_of_the_contract_that_looks_like_another_is_no_trouble() -> None:
    odd = [
        {**TEA, "code": "S03"},
        {**OWING, "code": "S03-2"},
    ]
    table = named((30, {"tea": 9.0}), (20, {"tea": 9.0}), PLAIN, contract=cafe(*odd))
    assert table["code"].is_unique
    assert table.loc["S01", "code"] == "S03"


def test_a_segment_in_which_nobody_is_has_a_name_and_nothing_else() -> None:
    ids = ["S01", "S02", "S07", "S10"]
    table = named((20, {"debt": 9.0}), PLAIN, ids=ids, given={"S10": "Sleepers"})
    assert table.index.tolist() == ids
    assert table.loc["S07", "name"] == "Nobody this month"
    assert table.loc["S10", "name"] == "Sleepers"
    assert table.loc[["S07", "S10"], ["persona", "matched"]].isna().all(axis=None)
    assert not table.loc[["S07", "S10"], "care"].any()
    assert named(PLAIN, ids=["S01", "S02", "S03"])["name"].is_unique


def test_a_contract_without_personas_has_generated_names_only() -> None:
    table = named((20, {"debt": 9.0}), (20, {"tea": 9.0}), PLAIN, contract=cafe())
    assert table["name"].is_unique
    assert table["persona"].isna().all()
    assert not table["care"].any()
    assert table["code"].tolist() == ["S01", "S02", "S03"]
    assert table["name"].tolist() == [
        "High money owed, low tea", "High tea, low money owed", "Low tea, low money owed",
    ]  # fmt: skip


def test_ids_stand_in_the_order_in_which_they_were_minted() -> None:
    segment, clean = guests(PLAIN, PLAIN)
    table = name_segments(segment.replace({"S01": "S100", "S02": "S99"}), clean, CAFE)
    assert table["segment"].tolist() == ["S99", "S100"]


def test_neither_table_is_changed_and_only_the_order_of_rows_links_them() -> None:
    segment, clean = guests((20, {"debt": 9.0}), (25, {"cake": 4.0}), PLAIN)
    before = segment.copy(), clean.copy()
    table = name_segments(segment, clean, CAFE)
    moved = name_segments(segment.set_axis(range(500, 585)), clean.set_axis(range(85)[::-1]), CAFE)
    pd.testing.assert_frame_equal(table, moved)
    pd.testing.assert_series_equal(segment, before[0])
    pd.testing.assert_frame_equal(clean, before[1])


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "=cmd()", "‮قهوة", "a\nb", "x" * 10_000]
)
def test_whatever_a_contract_calls_its_personas_a_name_is_one_line(name: str) -> None:
    table = named((20, {"tea": 9.0}), (20, {"tea": 8.0}), contract=cafe({**TEA, "name": name}))
    assert table["name"].str.len().max() <= 200
    assert not table["name"].str.contains("\n").any()
    assert table["name"].is_unique
    assert table["persona"].tolist() == [name, name]


@pytest.fixture(scope="module")
def reference(reference_csv: Path, ccdata: Contract) -> tuple[np.ndarray, pd.DataFrame]:
    """Seven segments of the reference table."""
    raw = read_customers(fetch(str(reference_csv)), ccdata, SourceOptions()).table
    clean = clean_customers(raw, ccdata).table
    scaled = scale_customers(clean, ccdata, ScalingOptions()).table
    X = scaled.drop(columns=ccdata.id.column).to_numpy()
    return fit_kmeans(X, 7, 0, 10).labels_, clean


def test_the_reference_tables_segments_are_the_seven_personas_under_any_numbers(
    reference: tuple[np.ndarray, pd.DataFrame], ccdata: Contract
) -> None:
    labels, clean = reference
    facts = []
    for seed in range(3):
        ids = np.array([f"S{number:02d}" for number in range(1, 8)])
        if seed:
            ids = np.random.default_rng(seed).permutation(ids)
        segment = pd.Series(ids[labels])
        table = name_segments(segment, clean, ccdata).assign(size=segment.value_counts().to_dict())
        table["size"] = table["segment"].map(segment.value_counts())
        facts.append(table.drop(columns="segment").sort_values("size", ignore_index=True))
    assert set(facts[0]["name"]) == {persona.name for persona in ccdata.personas}
    by_size = facts[0].set_index("name")["size"].sort_values()
    assert by_size.index.tolist() == [
        "New", "Dormant", "Transactors", "One-off revolvers", "Instalment buyers",
        "Prime spenders", "Cash-advance revolvers",
    ]  # fmt: skip
    pd.testing.assert_frame_equal(facts[0], facts[1])
    pd.testing.assert_frame_equal(facts[0], facts[2])
