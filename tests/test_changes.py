"""What changed is told in words, and small counts are not told."""

from typing import Any

from tasks.changes import changes_in_words, few, migration_lines

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
    said = " ".join(changes_in_words(changes(), RESTS, 5))
    assert "10.0% of the 1,000 customers compared have moved; 1.8% would" in said
    assert "boundary < 5, behaviour 97" in said
    assert "20 joined, < 5 left, 0 were not assessed" in said
    assert "refit" not in said


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
    assert lines == [("S01", ["90%", "6%", "", "< 5"]), ("S02", ["", "50%", "50%", ""])]
    assert migration_lines([], 5) == ([], [])
    assert migration_lines([cell(None, "S01", "joined", 70)], 5) == ([], [])


def test_a_count_is_told_from_the_smallest_cell_on() -> None:
    assert [few(n, 5) for n in (0, 4, 5, 1234)] == ["0", "< 5", "5", "1,234"]
