"""What changed is told in words, and small counts are not told."""

from typing import Any

import pytest

from tasks.changes import changes_in_words, migration_lines

RESTS = {"previous_month": "2026-08", "gap": 0}


def changes(**facts: Any) -> dict[str, Any]:
    plain = {
        "compared": True, "churn": 0.1, "causes": {"refit": 0, "boundary": 3, "behaviour": 97},
        "stayed": 900, "moved": 100, "joined": 20, "left": 2, "not_assessed": 0, "without_id": 0,
        "noise": {"kind": "boundary", "share": 0.018}, "transitions": [], "drift": [],
        "moved_most": [],
    }  # fmt: skip
    return plain | facts


def cell(previous: str | None, segment: str | None, status: str, customers: int) -> dict[str, Any]:
    return {
        "previous": previous, "was_assessed": None if previous is None else True,
        "segment": segment, "status": status, "customers": customers,
    }  # fmt: skip


def test_a_first_month_has_nothing_to_compare_with() -> None:
    assert changes_in_words(None, RESTS, 5) == []
    assert changes_in_words(changes(compared=False), RESTS, 5) == []


def test_churn_stands_beside_its_noise_floor_and_small_counts_are_not_told() -> None:
    said = " ".join(changes_in_words(changes(left=6), RESTS, 5))
    assert "10.0% of the 1,000 customers compared have moved; 1.8% would" in said
    assert "Joined: 20; left: 6; not assessed, as their rows were set aside: 0." in said
    assert "< 5" in said
    assert "refit" not in said


def test_of_the_moves_no_cause_is_told_that_would_give_a_small_one_away() -> None:
    causes = {"refit": 40, "boundary": 3, "behaviour": 57}
    assert "refit not told, boundary < 5, behaviour 57" in " ".join(
        changes_in_words(changes(causes=causes), RESTS, 5)
    )


def test_who_joined_and_left_is_not_told_where_two_totals_would_give_the_third_away() -> None:
    few_left = changes(joined=60, left=2, not_assessed=30)
    said = " ".join(changes_in_words(few_left, RESTS, 5))
    assert "Joined: 60; left: < 5; not assessed, as their rows were set aside: not told." in said


@pytest.mark.parametrize("end", ["joined", "left", "not_assessed"])
def test_how_many_were_compared_is_not_told_where_it_would_give_the_others_away(end: str) -> None:
    ends = {"joined": 20, "left": 6, "not_assessed": 0}
    assert "1,000" in " ".join(changes_in_words(changes(**ends), RESTS, 5))
    assert "1,000" not in " ".join(changes_in_words(changes(**ends | {end: 4}), RESTS, 5))


def test_a_gap_a_split_and_drift_are_told() -> None:
    split = {"kind": "split", "from": ["S03"], "to": ["S03", "S07"], "overlap": 0.9}
    stay = {"kind": "survival", "from": ["S01"], "to": ["S01"], "overlap": 1.0}
    drift = [{"column": "b", "psi": 0.3, "shift": 1.0}, {"column": "c", "psi": 0.01, "shift": 0.0}]
    moved = [{"segment": "S03", "column": "b", "shift": 0.5, "says": "b up by 0.50 sd"}]
    told = changes(transitions=[stay, split], drift=drift, moved_most=moved, without_id=9)
    said = " ".join(changes_in_words(told, {**RESTS, "gap": 2}, 5))
    assert "S03 to S03 and S07 (split)" in said
    assert "S01" not in said
    assert "b (PSI 0.30)" in said
    assert "c (PSI" not in said
    assert "b up by 0.50 sd in S03" in said
    assert "2 months before this one are missing" in said
    assert "9 rows have no readable id" in said


def test_the_matrix_is_in_shares_of_last_months_segments() -> None:
    cells = [
        cell("S01", "S01", "stayed", 90), cell("S01", "S02", "moved", 6),
        cell("S01", "S02", "not_assessed", 4), cell("S02", "S02", "stayed", 50),
        cell("S02", None, "left", 50), cell(None, "S01", "joined", 70),
    ]  # fmt: skip
    columns, lines = migration_lines(cells, 5)
    assert columns == ["S01", "S02", "left", "not assessed"]
    assert lines == [("S01", ["90%", "–", "", "< 5"]), ("S02", ["", "50%", "50%", ""])]  # noqa: RUF001
    assert migration_lines([], 5) == ([], [])
    assert migration_lines([cell(None, "S01", "joined", 70)], 5) == ([], [])


def test_in_the_matrix_no_small_cell_can_be_computed_from_totals() -> None:
    sizes = [[90, 3, 20], [80, 30, 10], [70, 60, 50]]
    cells = [
        cell(f"S{i}", f"S{j}", "stayed" if i == j else "moved", n)
        for i, line in enumerate(sizes)
        for j, n in enumerate(line)
    ]
    _, lines = migration_lines(cells, 5)
    assert [line for _, line in lines] == [
        ["80%", "< 5", "–"], ["67%", "–", "–"], ["39%", "33%", "28%"],  # noqa: RUF001
    ]  # fmt: skip
