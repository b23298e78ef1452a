"""Small counts of customers are not told, nor what would give them away by subtraction."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import dijkstra

FOR_ZERO = 1e12  # a zero is hidden only where nothing else helps
TOLD_OF_ROWS = ("kept", "quarantined", "objected")


def few(customers: int, min_cell: int) -> str:
    """A count of customers that is told only if it is large enough."""
    return f"{customers:,}" if customers >= min_cell or not customers else f"< {min_cell}"


def rows_told(rows: Mapping[str, int], min_cell: int) -> dict[str, str | None]:
    """Where the source's rows went, as it may be told.

    Parameters
    ----------
    rows : mapping
        `source, kept, quarantined, objected`; the last three add up to the first.
    min_cell : int
        Counts below this are not told.

    Returns
    -------
    dict
        The same in words. Where one of the three is small, `source` is null: what is left of it
        would be the small one, or the sum of two.
    """
    told: dict[str, str | None] = {name: few(rows[name], min_cell) for name in TOLD_OF_ROWS}
    is_small = any(0 < rows[name] < min_cell for name in TOLD_OF_ROWS)
    return {"source": None if is_small else few(rows["source"], min_cell), **told}


class Hidden(NamedTuple):
    """What of a two-way table is not told: cells, and totals of rows and of columns."""

    cells: pd.DataFrame
    rows: pd.Series
    columns: pd.Series


def hidden(
    counts: pd.DataFrame, min_cell: int, row_totals: bool = True, column_totals: bool = True
) -> pd.DataFrame:
    """Which cells of a two-way table of customers are not told, as `counts`.

    See `hidden_with_totals`.
    """
    return hidden_with_totals(counts, min_cell, row_totals, column_totals).cells


def hidden_with_totals(
    counts: pd.DataFrame, min_cell: int, row_totals: bool = True, column_totals: bool = True
) -> Hidden:
    """Which cells and totals of a two-way table of customers are not told.

    Hidden are counts from 1 to `min_cell` - 1, and so many others that no total gives one away:
    who knows all that is told cannot compute a small count, nor the sum of a line's small counts
    where that is small itself. Where the table has room, not even who knows of each hidden count
    whether it is small.

    A zero is told, and hidden only where nothing else helps: that nobody went from here to there
    can often be guessed, so it is a poor place to hide behind.

    Parameters
    ----------
    counts : DataFrame
        Customers per cell, at least 0.
    min_cell : int
        Counts below this are not told.
    row_totals, column_totals : bool
        Whether totals are told where they can be; with either the total of all is told, too,
        unless it is small.

    Notes
    -----
    A hidden cell is safe if it lies on a cycle of cells that can take turns in growing and
    shrinking while every total stays (Gusfield 1988, "A graph theoretic approach to statistical
    data security"). What is hidden next lies on the cycle of the fewest customers, the
    shortest-path heuristic of Castro (2007). Totals are cells of a further row and column.
    """
    table = _with_totals(counts.to_numpy())
    is_free = np.zeros(table.shape, dtype=bool)  # never told, and nobody knows anything of it
    is_free[:-1, -1], is_free[-1, :-1] = not row_totals, not column_totals
    is_free[-1, -1] = not (row_totals or column_totals)
    is_small = (table > 0) & (table < min_cell) & ~is_free
    is_hidden = is_small | is_free
    for row, column in np.argwhere(is_small):
        is_hidden = _with_partners(
            _Table(table, is_free, is_small, is_hidden, min_cell), (row, column)
        )
    return Hidden(
        pd.DataFrame(is_hidden[:-1, :-1], index=counts.index, columns=counts.columns),
        pd.Series(is_hidden[:-1, -1], index=counts.index),
        pd.Series(is_hidden[-1, :-1], index=counts.columns),
    )


class _Table(NamedTuple):
    counts: np.ndarray  # (n_rows + 1, n_columns + 1), as everything here: with totals
    is_free: np.ndarray
    is_small: np.ndarray
    is_hidden: np.ndarray
    min_cell: int


def _with_totals(counts: np.ndarray) -> np.ndarray:
    across = np.hstack([counts, counts.sum(axis=1, keepdims=True)])
    return np.vstack([across, across.sum(axis=0, keepdims=True)])


def _with_partners(table: _Table, cell: tuple[int, int]) -> np.ndarray:
    """What is hidden, with a cycle through `cell` that withstands who knows the bounds.

    Where there is none, one that withstands who does not.
    """
    is_hidden = table.is_hidden.copy()
    for knows_bounds in (True, False):
        steps = _without_few(_steps(table, knows_bounds), table, cell)
        cycle = _cheapest_cycle(steps, cell, len(table.counts))
        if cycle:
            is_hidden[tuple(np.transpose(cycle))] = True
            break
    return is_hidden


def _steps(table: _Table, knows_bounds: bool) -> np.ndarray:
    """Cost of each step of a cycle between rows and columns, (n, n); 0 where there is none.

    From a row to a column their cell grows by a customer, from a column to a row it shrinks; for
    a total of a line it is the other way round.
    """
    counts, free, small = table.counts, table.is_free, table.is_small
    seen = np.where(counts > 0, 1.0 + counts, FOR_ZERO)
    cost = np.where(table.is_hidden, 1, seen)
    floor = np.where(small, 1, np.minimum(counts, table.min_cell)) * knows_bounds
    ceiling = np.where(small & knows_bounds, table.min_cell - 1, np.inf)
    cost[-1, -1] *= table.is_hidden[-1, -1]  # nothing is hidden by hiding the total of all
    grow = np.where(free | (counts < ceiling), cost, 0)
    shrink = np.where(free | (counts > floor), cost, 0)
    rows, columns = counts.shape
    is_total = np.zeros(counts.shape, dtype=bool)
    is_total[:-1, -1] = is_total[-1, :-1] = True
    steps = np.zeros((rows + columns,) * 2)
    steps[:rows, rows:] = np.where(is_total, shrink, grow)
    steps[rows:, :rows] = np.where(is_total, grow, shrink).T
    return steps


def _without_few(steps: np.ndarray, table: _Table, cell: tuple[int, int]) -> np.ndarray:
    """The steps without those to the small neighbours of `cell` in a line where they are few.

    If only they took turns, their sum would be known, and it is below `min_cell`.
    """
    (rows, columns), (row, column) = table.counts.shape, cell
    kept = np.ones((rows, columns), dtype=bool)
    lines: list[tuple[Any, Any]] = []
    if column < columns - 1:  # a total is none of its line's counts
        lines.append((row, slice(-1)))
    if row < rows - 1:
        lines.append((slice(-1), column))
    for line in lines:
        small = table.is_small[line]
        if table.counts[line][small].sum() < table.min_cell:
            kept[line] = ~small
    kept[cell] = True
    both = np.ones(steps.shape, dtype=bool)
    both[:rows, rows:], both[rows:, :rows] = kept, kept.T
    return np.where(both, steps, 0)


def _cheapest_cycle(steps: np.ndarray, cell: tuple[int, int], rows: int) -> list[tuple[int, int]]:
    """The other cells of the cheapest cycle in which `cell` grows or shrinks, if there is one."""
    row, column = cell[0], rows + cell[1]
    others = steps.copy()
    others[row, column] = others[column, row] = 0
    least, cycle = np.inf, []
    for start, end in ((row, column), (column, row)):
        costs, before = dijkstra(others, indices=end, return_predecessors=True)
        if steps[start, end] and costs[start] < least:
            least, cycle = costs[start], _walked(before, start, end, rows)
    return cycle


def _walked(before: np.ndarray, start: int, end: int, rows: int) -> list[tuple[int, int]]:
    """Cells on the way back from `start` to `end`."""
    cells, node = [], start
    while node != end:
        earlier = int(before[node])
        cells.append((min(node, earlier), max(node, earlier) - rows))
        node = earlier
    return cells
