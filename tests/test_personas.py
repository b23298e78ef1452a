"""Personas are read from the top, on raw columns, and a gap fulfils nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from expectations.contract import Contract
from expectations.parts import Persona
from tasks.cleaning import clean_customers
from tasks.fetching import fetch
from tasks.ingestion import SourceOptions, read_customers
from tasks.personas import Cutoff, first_match, free_cutoffs, move_cutoff, places_nearby

NAN = float("nan")


def rule(*patterns: dict[str, Any]) -> tuple[Persona, ...]:
    return tuple(
        Persona.model_validate({"name": f"N{i}", "code": f"C{i}", "when": when})
        for i, when in enumerate(patterns)
    )


@pytest.mark.parametrize(
    ("bound", "matched"),
    [
        ("below", [True, False, False]),
        ("at_most", [True, True, False]),
        ("above", [False, False, True]),
        ("at_least", [False, True, True]),
    ],
)
def test_each_bound_holds_on_its_side_and_two_of_them_at_the_cutoff(
    bound: str, matched: list[bool]
) -> None:
    table = pd.DataFrame({"x": [1.9, 2, 2.1]})
    found = first_match(table, rule({"x": {bound: 2}}))
    np.testing.assert_array_equal(found == 0, matched)


def test_the_first_persona_from_the_top_takes_the_customer() -> None:
    table = pd.DataFrame({"x": [1, 5, 9]})
    low, middle = {"x": {"below": 2}}, {"x": {"below": 6}}
    np.testing.assert_array_equal(first_match(table, rule(low, middle, {})), [0, 1, 2])
    np.testing.assert_array_equal(first_match(table, rule(middle, low, {})), [0, 0, 2])


def test_all_conditions_of_a_persona_must_hold() -> None:
    table = pd.DataFrame({"x": [1, 1, 9, 9], "y": [0, 3, 0, 3]})
    both = rule({"x": {"above": 2}, "y": {"above": 0}}, {"x": {"at_least": 1, "at_most": 5}})
    np.testing.assert_array_equal(first_match(table, both), [1, 1, 2, 0])


def test_a_persona_without_conditions_takes_all_that_are_left() -> None:
    table = pd.DataFrame({"x": [1.0, NAN]})
    np.testing.assert_array_equal(first_match(table, rule({}, {"x": {"above": 0}})), [0, 0])


def test_who_matches_none_comes_after_the_last() -> None:
    table = pd.DataFrame({"x": [1, 2]})
    np.testing.assert_array_equal(first_match(table, rule({"x": {"above": 1}})), [1, 0])
    np.testing.assert_array_equal(first_match(table, ()), [0, 0])


@pytest.mark.parametrize("dtype", ["float64", "Float64", "float32"])
def test_a_gap_fulfils_no_condition(dtype: Any) -> None:
    table = pd.DataFrame({"x": [NAN, 1]}).astype(dtype)
    patterns = ({"x": {"at_most": 5}}, {"x": {"above": 5}})
    np.testing.assert_array_equal(first_match(table, rule(*patterns)), [2, 0])


def test_no_customers_have_no_position() -> None:
    found = first_match(pd.DataFrame({"x": []}), rule({"x": {"above": 0}}))
    assert found.shape == (0,)
    assert found.dtype.kind == "i"


def test_the_order_of_rows_and_the_index_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=50), "y": rng.normal(size=50)})
    personas = rule({"x": {"above": 0.5}}, {"y": {"below": 0}}, {})
    order = rng.permutation(50)
    found = first_match(table.iloc[order], personas)
    np.testing.assert_array_equal(found, first_match(table, personas)[order])


def test_a_name_that_looks_like_code_is_a_name() -> None:
    column = "__import__('os').abort()"
    table = pd.DataFrame({column: [0, 1]})
    np.testing.assert_array_equal(first_match(table, rule({column: {"above": 0}})), [1, 0])


def test_cutoffs_are_listed_once_and_those_at_0_are_not_free() -> None:
    personas = rule(
        {"x": {"below": 3}, "y": {"above": 0}},
        {"x": {"at_least": 3, "below": 8}},
        {"y": {"at_most": 0}, "x": {"above": 8}},
        {"y": {"above": -2}},
    )
    assert free_cutoffs(personas) == [Cutoff("x", 3), Cutoff("x", 8), Cutoff("y", -2)]


def test_a_cutoff_moves_wherever_it_stands_and_nothing_is_changed_in_place() -> None:
    personas = rule({"x": {"below": 3}, "y": {"below": 3}}, {"x": {"at_least": 3, "below": 8}}, {})
    before = [persona.model_dump() for persona in personas]
    moved = move_cutoff(personas, Cutoff("x", 3), 4)
    expected = rule({"x": {"below": 4}, "y": {"below": 3}}, {"x": {"at_least": 4, "below": 8}}, {})
    assert moved == expected
    assert [persona.model_dump() for persona in personas] == before


@pytest.mark.parametrize("value", [8.0, 9.0])
def test_a_condition_that_no_number_fulfils_is_not_written(value: float) -> None:
    assert move_cutoff(rule({"x": {"at_least": 3, "below": 8}}), Cutoff("x", 3), value) is None


def test_places_nearby_are_values_of_the_column_on_the_cutoffs_side_of_0() -> None:
    users = np.arange(1, 101.0)
    table = pd.DataFrame({"x": [*np.zeros(900), *users, NAN, *-users]})
    places = places_nearby(table, Cutoff("x", 50))
    assert set(places) <= set(users)
    assert min(places) < 35 < 65 < max(places)
    assert max(places_nearby(table, Cutoff("x", -50))) < 0


def test_places_nearby_are_the_same_customers_in_every_unit() -> None:
    values = np.random.default_rng(0).lognormal(5, 1, 300)
    cutoff = float(np.median(values))
    euros = places_nearby(pd.DataFrame({"x": values}), Cutoff("x", cutoff))
    cents = places_nearby(pd.DataFrame({"x": values * 128}), Cutoff("x", cutoff * 128))
    np.testing.assert_array_equal(cents, np.array(euros) * 128)


def test_there_is_no_place_where_nobody_is_on_the_cutoffs_side() -> None:
    assert places_nearby(pd.DataFrame({"x": [0.0, 0, NAN]}), Cutoff("x", 5)) == []


def test_the_reference_table_by_hand(reference_csv: Path, ccdata: Contract) -> None:
    """The seven groups, counted with pandas."""
    raw = read_customers(fetch(str(reference_csv)), ccdata, SourceOptions()).table
    clean = clean_customers(raw, ccdata).table
    left = clean
    expected = []
    for query in (
        "TENURE < 10",
        "BALANCE_FREQUENCY < 0.5",
        "PRC_FULL_PAYMENT >= 0.5 and PURCHASES > 0",
        "PURCHASES == 0",
        "ONEOFF_PURCHASES > 0 and INSTALLMENTS_PURCHASES > 0",
        "INSTALLMENTS_PURCHASES > 0",
    ):
        taken = left.query(query)
        expected.append(len(taken))
        left = left.drop(taken.index)
    found = np.bincount(first_match(clean, ccdata.personas))
    np.testing.assert_array_equal(found, [*expected, len(left)])
