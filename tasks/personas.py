"""The contract's personas as patterns on raw columns, read from top to bottom: the plain rule.

A pattern is data (column, bound, cutoff) and stays data: no text is ever run.
"""

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from expectations.parts import Condition, Persona

BOUNDS: Mapping[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "below": operator.lt,
    "at_most": operator.le,
    "above": operator.gt,
    "at_least": operator.ge,
}

STEPS = np.array([-0.2, -0.1, -0.05, -0.025, -0.01, 0.01, 0.025, 0.05, 0.1, 0.2])  # in rank


class Cutoff(NamedTuple):
    """A number at which some conditions divide a column."""

    column: str
    value: float


def first_match(table: pd.DataFrame, personas: Sequence[Persona]) -> np.ndarray:
    """Position of the first persona whose conditions all hold, (n_customers,).

    `len(personas)` where none does. A gap fulfils no condition; a persona without conditions
    takes all that are left.
    """
    columns = {name: _numbers(table, name) for name in _columns_read(personas)}
    position = np.full(len(table), len(personas))
    for number in reversed(range(len(personas))):
        position[_all_hold(columns, personas[number], len(table))] = number
    return position


def free_cutoffs(personas: Sequence[Persona]) -> list[Cutoff]:
    """The cutoffs that could as well lie elsewhere, each once, in the order they are read.

    One at exactly 0 could not: it tells users of a thing from those who do not use it.
    """
    written = (
        Cutoff(column, value)
        for persona in personas
        for column, condition in persona.when.items()
        for value in _bounds(condition).values()
    )
    return list(dict.fromkeys(cutoff for cutoff in written if cutoff.value != 0))


def rules_nearby(
    table: pd.DataFrame, personas: tuple[Persona, ...], cutoff: Cutoff
) -> list[tuple[Persona, ...]]:
    """The rule as it is, and with one cutoff moved to each possible place nearby."""
    moved = (move_cutoff(personas, cutoff, place) for place in places_nearby(table, cutoff))
    return [personas, *(rule for rule in moved if rule is not None)]


def move_cutoff(
    personas: Sequence[Persona], cutoff: Cutoff, value: float
) -> tuple[Persona, ...] | None:
    """Personas with a cutoff moved to `value` wherever it stands, None where that is impossible.

    Wherever, so that "below 10" and "at least 10" stay each other's complement. Impossible is a
    condition that no number fulfils.
    """
    try:
        return tuple(_moved(persona, cutoff, value) for persona in personas)
    except ValueError:  # of Condition: an impossible bound
        return None


def places_nearby(table: pd.DataFrame, cutoff: Cutoff) -> list[float]:
    """Values of the column near a cutoff in rank: the same customers in every unit.

    Ranks are among the customers on the cutoff's side of 0, since most may not use the thing.
    """
    values = _numbers(table, cutoff.column)
    same_side = values[values * np.sign(cutoff.value) > 0]
    if not len(same_side):
        return []
    ranks = np.clip(np.mean(same_side < cutoff.value) + STEPS, 0, 1)
    return [float(value) for value in np.unique(np.quantile(same_side, ranks, method="nearest"))]


def readable_cutoff(values: np.ndarray, cutoff: float, slack: float, tiny: float) -> float:
    """A cutoff with few digits that divides the values as this one does, but for a few.

    At most `slack` of them change sides; where at most `tiny` of those above 0 would, it is 0.
    """
    ordered = np.sort(values)
    n_below = int((ordered <= cutoff).sum())
    users = ordered[ordered > 0]
    if ordered[0] == 0 < cutoff and (users <= ordered[n_below - 1]).sum() <= tiny * len(users):
        return 0.0
    may_change = int(slack * len(ordered))
    low = ordered[max(0, n_below - 1 - may_change)]
    high = ordered[min(len(ordered) - 1, n_below + may_change)]
    return shortest_between(float(low), float(high))


def shortest_between(low: float, high: float) -> float:
    """The number with the fewest digits that is at least `low` and below `high`."""
    if low <= 0 < high:
        return 0.0
    for exponent in range(math.floor(math.log10(max(abs(low), abs(high)))) + 1, -16, -1):
        step = 10.0**exponent
        rounded = round(math.ceil(low / step) * step, -exponent)
        if low <= rounded < high:
            return rounded
    return low


def _moved(persona: Persona, cutoff: Cutoff, value: float) -> Persona:
    condition = persona.when.get(cutoff.column)
    if condition is None or cutoff.value not in _bounds(condition).values():
        return persona
    bounds = {
        name: value if bound == cutoff.value else bound
        for name, bound in _bounds(condition).items()
    }
    moved = Condition.model_validate(bounds)
    return persona.model_copy(update={"when": {**persona.when, cutoff.column: moved}})


def _bounds(condition: Condition) -> dict[str, float]:
    given = {name: getattr(condition, name) for name in BOUNDS}
    return {name: bound for name, bound in given.items() if bound is not None}


def _columns_read(personas: Sequence[Persona]) -> Iterator[str]:
    return (column for persona in personas for column in persona.when)


def _numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    return table[column].to_numpy(dtype=float, na_value=np.nan)


def _all_hold(columns: Mapping[str, np.ndarray], persona: Persona, n_customers: int) -> np.ndarray:
    holds = np.ones(n_customers, dtype=bool)
    for column, condition in persona.when.items():
        for name, bound in _bounds(condition).items():
            holds &= BOUNDS[name](columns[column], bound)
    return holds
