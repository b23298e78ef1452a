"""Everybody is followed once, every move has its cause, and the counts always reconcile."""

from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.tracking import (
    CAUSES,
    boundary_noise,
    churn_of,
    follow_customers,
    migration,
    moves_by_cause,
    refit_noise,
)

MARCH, APRIL, MAY = (pd.Period(f"2026-0{number}", "M") for number in (3, 4, 5))
NOBODY = pd.Series([], dtype="str")
ALIVE = ("S01", "S02", "S03")
TOLD = ["segment_id", "status", "cause", "previous", "since", "assessed"]
ASSIGNMENTS = [
    *("customer_id", "segment_id", "confidence", "runner_up", "status", "cause", "previous"),
    *("since", "assessed", "value", "row_hash"),
]  # fmt: skip
LARGE = 2**62 + 1  # as a float it would lose its last digit


def assigned(rows: dict[str, str], **columns: dict[str, Any]) -> pd.DataFrame:
    """Customers of a month: id -> segment; further columns by id, else as is usual."""
    ids = list(rows)

    def column(name: str, usual: Any) -> list:
        given = columns.get(name, {})
        return [given.get(id_, usual(id_)) for id_ in ids]

    return pd.DataFrame(
        {
            "customer_id": pd.Series(ids, dtype="str"),
            "segment": pd.Series(list(rows.values()), dtype="str"),
            "confidence": column("confidence", lambda id_: 0.99),
            "runner_up": column("runner_up", lambda id_: "S03"),
            "champion_segment": pd.Series(column("champion", rows.get), dtype="str"),
            "challenger_segment": pd.Series(column("challenger", rows.get), dtype="str"),
            "value": pd.Series(column("value", lambda id_: 1.0), dtype=float),
            "row_hash": pd.Series(column("row_hash", lambda id_: LARGE), dtype="int64"),
        }
    )


def follow(
    previous: pd.DataFrame | None,
    now: pd.DataFrame,
    month: pd.Period = MAY,
    aside: tuple[str | None, ...] = (),
    replaced: pd.DataFrame | None = None,
    alive: tuple[str, ...] = ALIVE,
    model: Literal["champion", "challenger"] = "champion",
) -> pd.DataFrame:
    set_aside = pd.Series(list(aside), dtype="str")
    return follow_customers(
        previous, now, month, set_aside=set_aside, replaced=replaced, alive=alive, model=model
    )


def publication(moves: pd.DataFrame) -> pd.DataFrame:
    """What stands in the store: no leavers, and no more than the assignments' columns."""
    return moves[moves["status"] != "left"][ASSIGNMENTS].reset_index(drop=True)


def first(rows: dict[str, str], month: pd.Period = APRIL, **columns: Any) -> pd.DataFrame:
    return publication(follow(None, assigned(rows, **columns), month))


def told(moves: pd.DataFrame) -> dict[str, list]:
    known = moves.set_index("customer_id")[TOLD].astype(object)
    rows = known.where(known.notna(), None).to_numpy().tolist()
    return dict(zip(map(str, known.index), rows, strict=True))


# ------------------------------------------------------------------------------------ who moved
def test_in_a_first_month_everybody_joins() -> None:
    moves = follow(None, assigned({"b": "S02", "a": "S01"}), APRIL, aside=("c",))
    assert told(moves) == {
        "a": ["S01", "joined", None, None, "2026-04", "2026-04"],
        "b": ["S02", "joined", None, None, "2026-04", "2026-04"],
    }
    assert moves["was_assessed"].isna().all()
    assert moves["previous_value"].isna().all()


def test_who_stayed_moved_joined_left_and_was_not_assessed() -> None:
    april = first({"stay": "S01", "move": "S01", "leave": "S02", "broken": "S03"})
    may = assigned({"join": "S03", "move": "S02", "stay": "S01"})
    moves = follow(april, may, aside=("broken", "broken", "stranger", None))
    assert told(moves) == {
        "broken": ["S03", "not_assessed", None, "S03", "2026-04", "2026-04"],
        "join": ["S03", "joined", None, None, "2026-05", "2026-05"],
        "leave": [None, "left", None, "S02", None, "2026-04"],
        "move": ["S02", "moved", "behaviour", "S01", "2026-05", "2026-05"],
        "stay": ["S01", "stayed", None, "S01", "2026-04", "2026-05"],
    }
    assert churn_of(moves) == 1 / 2


def test_numbers_go_with_the_customer_and_none_is_rounded() -> None:
    april = first(
        {"stay": "S01", "leave": "S01", "broken": "S02"},
        value={"stay": 10, "leave": 20, "broken": 30},
        row_hash={"stay": LARGE, "leave": LARGE + 2, "broken": -LARGE},
        confidence={"broken": 0.5},
        runner_up={"broken": "S01"},
    )
    may = assigned({"stay": "S01", "join": "S02"}, value={"stay": 11, "join": None},
                   row_hash={"stay": LARGE + 4})  # fmt: skip
    moves = follow(april, may, aside=("broken",)).set_index("customer_id")
    assert moves["row_hash"].to_dict() == {
        "broken": -LARGE, "join": LARGE, "leave": LARGE + 2, "stay": LARGE + 4,
    }  # fmt: skip
    assert moves["row_hash"].dtype == "int64"
    nothing = float("nan")
    assert moves["value"].to_list() == pytest.approx([30, nothing, nothing, 11], nan_ok=True)
    before = moves["previous_value"].to_list()
    assert before == pytest.approx([30, nothing, 20, 10], nan_ok=True)
    assert moves.loc["broken", ["confidence", "runner_up"]].tolist() == [0.5, "S01"]
    assert moves.loc["leave", ["confidence", "runner_up"]].isna().all()
    assert moves["was_assessed"].astype(object).to_list() == [True, pd.NA, True, True]


def test_who_is_set_aside_month_after_month_keeps_segment_and_age() -> None:
    store = first({"x": "S01", "y": "S02"}, MARCH)
    for month in (APRIL, MAY):
        moves = follow(store, assigned({"y": "S02"}), month, aside=("x",))
        assert told(moves)["x"] == ["S01", "not_assessed", None, "S01", "2026-03", "2026-03"]
        assert moves["was_assessed"].to_list() == [month == APRIL, True]
        assert churn_of(moves) == 0
        store = publication(moves)
    june = pd.Period("2026-06", "M")
    back = follow(store, assigned({"x": "S01", "y": "S02"}), june)
    assert told(back)["x"] == ["S01", "stayed", None, "S01", "2026-03", "2026-06"]
    elsewhere = follow(store, assigned({"x": "S03", "y": "S02"}), june)
    assert told(elsewhere)["x"] == ["S03", "moved", "behaviour", "S01", "2026-06", "2026-06"]
    gone = follow(store, assigned({"y": "S02"}), june)
    assert told(gone)["x"] == [None, "left", None, "S01", None, "2026-03"]


def test_who_is_not_assessed_loses_a_segment_that_has_retired() -> None:
    april = first({"x": "S01", "y": "S02"}, runner_up={"y": "S01"})
    moves = follow(april, assigned({}), aside=("x", "y"), alive=("S02", "S04"))
    assert told(moves)["x"] == [None, "not_assessed", None, "S01", "2026-04", "2026-04"]
    assert told(moves)["y"] == ["S02", "not_assessed", None, "S02", "2026-04", "2026-04"]
    assert moves["runner_up"].isna().all()
    again = follow(publication(moves), assigned({}), MAY + 1, aside=("x", "y"), alive=("S02",))
    assert told(again)["x"] == [None, "not_assessed", None, None, "2026-04", "2026-04"]
    back = follow(publication(again), assigned({"x": "S02"}), MAY + 2, alive=("S02",))
    assert told(back)["x"] == ["S02", "moved", "refit", None, "2026-07", "2026-07"]


def test_who_has_a_row_is_here_whatever_was_set_aside() -> None:
    april = first({"x": "S01"})
    assert told(follow(april, assigned({"x": "S01"}), aside=("x",)))["x"][1] == "stayed"


# -------------------------------------------------------------------------- why somebody moved
BEFORE = {"x": "S01"}


def cause(
    then: dict[str, Any] | None = None,
    replaced: dict[str, str] | None = None,
    model: Literal["champion", "challenger"] = "champion",
    **now: Any,
) -> str:
    april = first(BEFORE, **(then or {}))
    may = assigned({"x": "S02"}, **{name: {"x": value} for name, value in now.items()})
    earlier = None if replaced is None else publication(follow(april, assigned(replaced)))
    (found,) = follow(april, may, replaced=earlier, model=model)["cause"]
    return found


def test_a_sure_move_under_one_model_is_behaviour() -> None:
    assert cause() == "behaviour"
    assert cause(confidence=0.9, then={"confidence": {"x": 0.9}}) == "behaviour"


UNSURE = {"confidence": {"x": 0.89}}


def test_a_move_over_a_border_that_the_customer_lay_at_is_a_matter_of_the_border() -> None:
    assert cause(confidence=0.89, runner_up="S01") == "boundary"
    assert cause(then={**UNSURE, "runner_up": {"x": "S02"}}) == "boundary"
    assert cause(confidence=float("nan"), runner_up="S01") == "behaviour"


def test_who_was_unsure_about_another_border_has_moved_by_behaviour() -> None:
    assert cause(confidence=0.1, runner_up="S03") == "behaviour"
    assert cause(then={**UNSURE, "runner_up": {"x": "S03"}}) == "behaviour"


def test_a_move_is_the_refits_where_the_two_models_differ_on_the_row() -> None:
    assert cause(champion="S01", model="challenger") == "refit"
    assert cause(champion="S02", model="challenger") == "behaviour"
    assert cause(champion=None, model="challenger") == "refit"
    assert cause(challenger="S01", model="champion") == "behaviour"  # it was not published
    assert cause(champion="S01", confidence=0.1, model="challenger") == "refit"


def test_a_move_is_a_correction_where_the_replaced_revision_said_otherwise() -> None:
    assert cause(replaced={"x": "S01"}) == "correction"
    assert cause(replaced={"x": "S03"}, champion="S01", model="challenger") == "correction"
    assert cause(replaced={"x": "S02"}) == "behaviour"
    assert cause(replaced={"x": "S02"}, confidence=0.1, runner_up="S01") == "boundary"
    assert cause(replaced={"y": "S01"}) == "behaviour"


def test_a_correction_that_leaves_a_customer_where_it_was_is_no_move() -> None:
    april = first({"x": "S01"})
    wrong = publication(follow(april, assigned({"x": "S02"})))
    assert told(follow(april, assigned({"x": "S01"}), replaced=wrong))["x"][1:3] == ["stayed", None]


def test_moves_are_counted_by_cause_and_every_cause_is_named() -> None:
    april = first({"x": "S01", "y": "S01", "z": "S01"})
    at_the_border = {"confidence": {"x": 0.2}, "runner_up": {"x": "S01"}}
    may = assigned({"x": "S02", "y": "S02", "z": "S03"}, **at_the_border)
    assert moves_by_cause(follow(april, may)) == {
        "correction": 0, "refit": 0, "boundary": 1, "behaviour": 2,
    }  # fmt: skip


def test_where_nobody_can_be_compared_there_is_no_churn() -> None:
    assert churn_of(follow(None, assigned({"x": "S01"}))) is None
    assert churn_of(follow(first({"x": "S01"}), assigned({}), aside=("x",))) is None


# -------------------------------------------------------------------------- the migration matrix
def test_the_matrix_counts_customers_and_value() -> None:
    value = {"a": 1, "b": 2, "c": 4, "d": 8}
    april = first({"a": "S01", "b": "S01", "c": "S01", "d": "S02"}, value=value)
    may = assigned({"a": "S02", "b": "S02", "e": "S01"}, value={"a": 10, "b": 20, "e": 40})
    table = migration(follow(april, may, aside=("d",)))
    lines = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    assert lines == [
        ["S01", True, "S02", "moved", 2, 3, 30],
        ["S01", True, None, "left", 1, 4, None],
        ["S02", True, "S02", "not_assessed", 1, 8, 8],
        [None, None, "S01", "joined", 1, None, 40],
    ]
    assert list(table) == [
        *("previous", "was_assessed", "segment", "status"),
        *("customers", "value_before", "value_now"),
    ]


SEGMENTS = st.sampled_from(ALIVE)
PEOPLE = st.dictionaries(st.sampled_from("abcdefgh"), SEGMENTS)


@st.composite
def months(draw: st.DrawFn) -> list[tuple[dict[str, str], set[str], dict[str, str] | None]]:
    """Months in a row: who is where, whose row is set aside, and what a replaced revision said."""
    drawn = []
    for _ in range(draw(st.integers(1, 4))):
        people = draw(PEOPLE)
        aside = draw(st.sets(st.sampled_from("abcdefghi"))) - set(people)
        drawn.append((people, aside, draw(st.none() | PEOPLE)))
    return drawn


@settings(max_examples=40, deadline=None)
@given(
    months(), st.sampled_from([ALIVE, ("S01", "S02")]), st.sampled_from(["champion", "challenger"])
)
def test_the_counts_reconcile_whatever_happens(
    drawn: list, alive: tuple[str, ...], model: Literal["champion", "challenger"]
) -> None:
    previous: pd.DataFrame | None = None
    for number, (people, aside, earlier) in enumerate(drawn):
        replaced = None if earlier is None else first(earlier)
        now = assigned(people, confidence=dict.fromkeys("ab", 0.1), champion={"c": None})
        moves = follow(previous, now, MARCH + number, tuple(sorted(aside)), replaced, alive, model)
        then = {} if previous is None else dict(previous[["customer_id", "status"]].to_numpy())
        assert_reconciled(moves, previous, set(people), aside & set(then) - set(people))
        previous = publication(moves)


def assert_reconciled(
    moves: pd.DataFrame, previous: pd.DataFrame | None, here: set[str], aside: set[str]
) -> None:
    then = set() if previous is None else set(previous["customer_id"])
    assert moves["customer_id"].to_list() == sorted(here | then)  # nobody twice, nobody lost
    who = moves.groupby("status")["customer_id"].agg(set).to_dict()
    compared = who.get("stayed", set()) | who.get("moved", set())
    assert who.get("joined", set()) == here - then
    assert compared == here & then
    assert who.get("not_assessed", set()) == aside
    assert who.get("left", set()) == then - here - aside
    assert moves["cause"].notna().equals(moves["status"] == "moved")
    assert moves.loc[moves["status"] == "moved", "cause"].isin(CAUSES).all()
    churn = churn_of(moves)
    assert churn is None if not compared else churn == len(who.get("moved", ())) / len(compared)
    if previous is not None:
        assert_matrix_adds_up(migration(moves), previous)


def assert_matrix_adds_up(table: pd.DataFrame, previous: pd.DataFrame) -> None:
    was_assessed = previous["status"] != "not_assessed"
    for mask, known in ((was_assessed, True), (~was_assessed, False)):
        sizes = previous[mask]["segment_id"].value_counts(dropna=False).to_dict()
        lines = table[(table["was_assessed"] == known).fillna(False)]
        found = lines.groupby("previous", dropna=False)["customers"].sum().to_dict()
        assert {str(k): v for k, v in found.items()} == {str(k): v for k, v in sizes.items()}
    assert table["value_before"].sum() == previous["value"].sum()


def test_no_table_is_changed() -> None:
    april, may = first({"x": "S01", "y": "S02"}), assigned({"x": "S02"})
    kept = april.copy(deep=True), may.copy(deep=True)
    follow(april, may, replaced=april, aside=("y",))
    pd.testing.assert_frame_equal(april, kept[0])
    pd.testing.assert_frame_equal(may, kept[1])


# -------------------------------------------------------------------------------------- noise
def by_amount(clean: pd.DataFrame) -> np.ndarray:
    return (clean["spent"] >= 100).to_numpy(int)


def test_only_customers_near_a_border_change_under_noise() -> None:
    far = pd.DataFrame({"id": ["x"] * 4, "spent": [0.0, 60.0, 160.0, 1e6]})
    assert boundary_noise(by_amount, far, ["spent"], seed=0) == 0
    near = pd.DataFrame({"id": "x", "spent": np.full(4000, 100 * np.exp(0.05))})  # one sd above
    share = boundary_noise(by_amount, near, ["spent"], seed=0)
    assert share == pytest.approx(0.1587, abs=0.02)  # of a normal beyond one sd
    assert boundary_noise(by_amount, near, ["spent"], seed=0) == share
    assert boundary_noise(by_amount, near, ["spent"], seed=1) != share
    assert boundary_noise(by_amount, near, ["spent"], seed=0, noise=0.01) < 0.001


def test_noise_touches_the_columns_it_is_told_and_no_zero() -> None:
    clean = pd.DataFrame({"id": ["x", "y"], "spent": [0.0, 5.0], "visits": [3, 4]})
    seen: list[pd.DataFrame] = []

    def watched(customers: pd.DataFrame) -> np.ndarray:
        seen.append(customers)
        return np.zeros(2)

    boundary_noise(watched, clean, ["spent", "visits"], seed=0)
    noisy, own = seen
    assert own is clean
    assert noisy["id"].tolist() == ["x", "y"]
    assert noisy["spent"][0] == 0
    assert (noisy[["spent", "visits"]].loc[1] != clean[["spent", "visits"]].loc[1]).all()


def test_a_refits_noise_is_where_two_models_differ() -> None:
    champion = np.array(["S01", "S01", "S02", None, "S02"], dtype=object)
    challenger = np.array(["S01", "S02", "S02", "S01", None], dtype=object)
    assert refit_noise(champion, challenger) == 1 / 3
    assert refit_noise(champion[3:], challenger[3:]) is None
