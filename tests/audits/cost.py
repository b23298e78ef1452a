"""Measure whether selection's time grows with the table: ``python -m tests.audits.cost``.

Synthetic customers, 20,000 and 200,000 of them in turn; the smaller table is drawn from the
larger one. Only selection itself is measured, in the plain space.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from itertools import product
from statistics import median
from typing import NamedTuple

import pandas as pd
from rich.console import Console
from rich.table import Table

from tasks.scaling import ScalingOptions, scale_customers
from tests.audits.common import (
    WIDTH,
    Figure,
    k_in_words,
    measured,
    number_of_draws,
    one_by_one,
    selection,
    synthetic_month,
    tell,
)
from tests.audits.judges import CONTRACT

ROUNDS = 3
FEW, MANY = 20_000, 200_000
MONTHS, MONTH_ROWS = 3, 70_000  # a synthetic month has at most 80,000 customers
SPAN = 0.2


class Taken(NamedTuple):
    """What a selection took, and which k it chose."""

    seconds: float
    processor: float
    resamples: int
    k: str


def many_customers() -> pd.DataFrame:
    """Several months' customers under new ids."""
    months = [synthetic_month(seed, MONTH_ROWS) for seed in range(MONTHS)]
    clean = pd.concat(months, ignore_index=True).iloc[:MANY]
    ids = [f"C{row:06d}" for row in range(len(clean))]
    return clean.assign(**{CONTRACT.id.column: ids})


def measured_once(clean: pd.DataFrame, seed: int) -> Taken:
    """What selection takes, without scaling."""
    scaled = scale_customers(clean, CONTRACT, ScalingOptions()).table
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = selection(scaled, clean, CONTRACT, seed)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Taken(wall, cpu, int(outcome.table["resamples"].sum()), k_in_words(outcome))


def table_of(taken: Mapping[int, Sequence[Taken]]) -> Table:
    """One line per run; processor seconds and resamples tell a busy machine from a long way."""
    heads = ("round", "rows", "seconds", "processor seconds", "resamples", "k")
    table = Table(*heads, title="What selection takes")
    for number, runs in enumerate(zip(*taken.values(), strict=True)):
        for rows, one in zip(taken, runs, strict=True):
            figures = (f"{one.seconds:.1f}", f"{one.processor:.1f}", str(one.resamples), one.k)
            table.add_row(str(number), f"{rows:,}", *figures)
    return table


def figures_of(taken: Mapping[int, Sequence[Taken]]) -> list[Figure]:
    """The ratios of the rounds, and their median, of which the bound is asked."""
    rounds = list(zip(taken[FEW], taken[MANY], strict=True))
    ratios = [many.seconds / few.seconds for few, many in rounds]
    processor = [many.processor / few.processor for few, many in rounds]
    return [
        measured("ratio of each round", ratios),
        measured("the same in processor seconds", processor),
        measured(f"median ratio, {MANY:,} to {FEW:,} rows", [median(ratios)], 1 - SPAN, 1 + SPAN),
    ]


def main(argv: Sequence[str] = ()) -> bool:
    """Select on both tables in turn and print the seconds; whether the bound holds."""
    rounds = number_of_draws(argv, ROUNDS, __doc__)
    many = many_customers()
    few = many.sample(FEW, random_state=0).reset_index(drop=True)
    taken: dict[int, list[Taken]] = {FEW: [], MANY: []}
    for number, clean in one_by_one("cost", list(product(range(rounds), (few, many)))):
        taken[len(clean)].append(measured_once(clean, seed=number))
    Console(width=WIDTH).print(table_of(taken))
    return tell("Does selection's time grow with the table?", figures_of(taken))


if __name__ == "__main__":
    raise SystemExit(not main(sys.argv[1:]))
