"""Nobody can compute a small count from what is told."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from tasks.small_counts import few, hidden, hidden_with_totals, rows_told

FEW = 5


def table(*rows: list[int]) -> pd.DataFrame:
    counts = pd.DataFrame(rows)
    return counts.set_axis([f"S{n}" for n in counts.index]).add_prefix("to ")


def shown(counts: pd.DataFrame, **totals: bool) -> list[list[str]]:
    """The table as it may be told: counts, small ones as `<`, their partners as `-`."""
    lines = zip(counts.to_numpy(), hidden(counts, FEW, **totals).to_numpy(), strict=True)
    return [
        [str(n) if not gone else "<" if 0 < n < FEW else "-" for n, gone in zip(*line, strict=True)]
        for line in lines
    ]


class Attacker:
    """Knows all shown cells and told totals, and that no count is below 0.

    One who `knows_bounds` knows, too, which hidden counts are small and which are not.
    """

    def __init__(self, counts: pd.DataFrame, totals: tuple[bool, bool], bounds: bool) -> None:
        self.counts = counts.to_numpy()
        self.is_hidden = hidden(counts, FEW, *totals).to_numpy()
        self.small = (self.counts > 0) & (self.counts < FEW)
        self.bounds = [self._bounds(at, bounds) for at in np.argwhere(self.is_hidden)]
        left = np.where(self.is_hidden, self.counts, 0)
        margins = hidden_with_totals(counts, FEW, *totals)[1:]
        lines = [
            (self._line(axis, number), left.sum(axis=1 - axis)[number])
            for axis, is_untold in enumerate(margins)
            for number in np.flatnonzero(~is_untold)
        ]
        if any(totals) and self.counts.sum() >= FEW:
            lines.append((np.ones(self.is_hidden.sum()), left.sum()))
        self.known = [(line, total) for line, total in lines if line.any()]

    def _bounds(self, at: np.ndarray, is_known: bool) -> tuple[int, int | None]:
        if not is_known or self.counts[tuple(at)] == 0:
            return 0, None
        return (1, FEW - 1) if self.small[tuple(at)] else (FEW, None)

    def _line(self, axis: int, number: int) -> np.ndarray:
        return (np.argwhere(self.is_hidden)[:, axis] == number).astype(float)

    def range_of(self, cells: np.ndarray) -> float:
        """Between the least and the most that a sum of hidden cells may be."""
        told = np.array([line for line, _ in self.known]), [total for _, total in self.known]
        rows, totals = told if self.known else (None, None)
        ends = [linprog(s * cells, A_eq=rows, b_eq=totals, bounds=self.bounds) for s in (1, -1)]
        return np.inf if ends[1].status == 3 else -ends[1].fun - ends[0].fun

    def secrets(self) -> list[np.ndarray]:
        """Each small count, and the small counts of each line where they are few together."""
        is_small = self.small[self.is_hidden]
        single = [one for one in np.eye(len(is_small)) if is_small[one.astype(bool)].all()]
        lines = [
            self._line(axis, n) * is_small
            for axis in (0, 1)
            for n in range(self.counts.shape[axis])
        ]
        values = self.counts[self.is_hidden]
        return [*single, *(one for one in lines if 0 < one @ values < FEW)]

    def found_out(self) -> list[np.ndarray]:
        return [cells for cells in self.secrets() if self.range_of(cells) < 0.5]


def counts_of(large: tuple[int, int], most: int) -> st.SearchStrategy[pd.DataFrame]:
    cell = st.one_of(st.just(0), st.integers(1, FEW - 1), st.integers(*large))
    shapes = st.tuples(st.integers(1, most), st.integers(1, most))
    cells = shapes.flatmap(lambda shape: arrays(np.int64, shape, elements=cell))
    return cells.map(pd.DataFrame)


@settings(max_examples=50, deadline=None)
@given(counts_of((FEW, 9), 4), st.tuples(st.booleans(), st.booleans()))
def test_nobody_computes_a_small_count_from_the_rest(
    counts: pd.DataFrame, totals: tuple[bool, bool]
) -> None:
    assert Attacker(counts, totals, bounds=False).found_out() == []


@settings(max_examples=25, deadline=None)
@given(counts_of((FEW, 40), 3))
def test_in_a_table_with_room_not_even_who_knows_which_counts_are_small(
    counts: pd.DataFrame,
) -> None:
    roomy = pd.DataFrame(np.pad(counts.to_numpy(), ((0, 1), (0, 1)), constant_values=30))
    assert Attacker(roomy, (True, True), bounds=True).found_out() == []


@settings(max_examples=50, deadline=None)
@given(counts_of((FEW, 40), 5))
def test_every_small_count_is_hidden_and_a_table_without_one_is_told(counts: pd.DataFrame) -> None:
    is_small = (counts > 0) & (counts < FEW)
    is_hidden = hidden(counts, FEW)
    assert (is_hidden | ~is_small).all(axis=None)
    if not is_small.any(axis=None):
        assert not is_hidden.any(axis=None)


def test_a_small_count_takes_the_smallest_other_of_its_line_along() -> None:
    sizes = table([900], [3], [40], [7], [0])
    assert shown(sizes, row_totals=False) == [["900"], ["<"], ["40"], ["-"], ["0"]]


def test_without_totals_only_the_small_counts_are_hidden() -> None:
    told = shown(table([9, 3], [1, 40]), row_totals=False, column_totals=False)
    assert told == [["9", "<"], ["<", "40"]]


def test_rows_add_up_where_columns_do_not() -> None:
    counts = table([90, 3, 20], [50, 60, 70])
    assert shown(counts, column_totals=False) == [["90", "<", "-"], ["50", "60", "70"]]


def test_a_cell_is_hidden_by_a_ring_that_leaves_every_total_as_it_is() -> None:
    counts = table([90, 3, 20], [80, 30, 10], [70, 60, 50])
    assert shown(counts) == [["90", "<", "-"], ["80", "-", "-"], ["70", "60", "50"]]


def test_two_small_counts_whose_sum_is_small_take_a_large_one_along() -> None:
    assert shown(table([1, 2, 30, 60]), column_totals=False) == [["<", "<", "-", "60"]]
    assert shown(table([3, 2, 30, 60]), column_totals=False) == [["<", "<", "30", "60"]]


def test_two_that_must_both_be_the_largest_small_count_take_another_along() -> None:
    assert shown(table([4, 4, 30, 60]), column_totals=False) == [["<", "<", "-", "60"]]


def test_a_zero_is_told_while_anything_else_can_be_hidden() -> None:
    assert shown(table([0, 2, 500]), column_totals=False) == [["0", "<", "-"]]
    crossed = shown(table([2, 500, 0], [0, 60, 0], [700, 0, 0]))
    assert crossed[0] == ["<", "-", "0"]


def test_a_small_total_is_not_told_and_needs_no_partner() -> None:
    assert shown(table([3])) == [["<"]]
    nobody_else = hidden_with_totals(table([2, 0], [0, 3]), 9)
    assert nobody_else.rows.all()
    assert nobody_else.columns.all()


def test_a_small_total_takes_another_and_a_cell_of_its_line_along() -> None:
    counts = table([2, 0], [50, 60], [70, 80])
    assert shown(counts) == [["<", "0"], ["-", "60"], ["70", "80"]]
    told = hidden_with_totals(counts, FEW)
    assert told.rows.tolist() == [True, True, False]
    assert not told.columns.any()


def test_where_bounds_would_give_it_away_in_any_case_it_is_safe_from_who_knows_none() -> None:
    assert shown(table([1, 5, 0]), column_totals=False) == [["<", "-", "0"]]


def test_the_total_of_all_is_no_place_to_hide_behind() -> None:
    assert shown(table([4, 4, 0]), column_totals=False) == [["<", "<", "-"]]


def test_names_stay_and_an_empty_table_has_nothing_to_hide() -> None:
    counts = table([9, 3], [1, 40])
    assert hidden(counts, FEW).axes[0].equals(counts.index)
    assert hidden(counts, FEW).axes[1].equals(counts.columns)
    assert hidden(counts[:0], FEW).empty
    assert not hidden(table([9, 30], [10, 40]), FEW).any(axis=None)


def test_a_count_is_told_from_the_smallest_cell_on() -> None:
    assert [few(n, FEW) for n in (0, 4, 5, 1234)] == ["0", "< 5", "5", "1,234"]


def test_the_source_is_not_told_where_it_would_give_a_small_count_away() -> None:
    rows = {"source": 1200, "kept": 1150, "quarantined": 50, "objected": 0}
    plain = {"source": "1,200", "kept": "1,150", "quarantined": "50", "objected": "0"}
    assert rows_told(rows, FEW) == plain
    for small in ("quarantined", "objected", "kept"):
        told = rows_told({**rows, small: 4}, FEW)
        assert told == {**plain, "source": None, small: "< 5"}
