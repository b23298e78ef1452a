"""Measure whether selection's time grows with the table: ``python -m tests.audits.cost``.

Synthetic customers, 20,000 and 200,000 of them in turn; the smaller table is drawn from the
larger one. Only selection itself is measured, in the plain space.
"""

import sys
import time
from collections.abc import Sequence
from statistics import median

import pandas as pd
from rich.console import Console
from rich.table import Table

from tasks.scaling import ScalingOptions, scale_customers
from tests.audits.common import (
    WIDTH,
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


def many_customers() -> pd.DataFrame:
    """Several months' customers under new ids."""
    months = [synthetic_month(seed, MONTH_ROWS) for seed in range(MONTHS)]
    clean = pd.concat(months, ignore_index=True).iloc[:MANY]
    ids = [f"C{row:06d}" for row in range(len(clean))]
    return clean.assign(**{CONTRACT.id.column: ids})


def seconds_of(clean: pd.DataFrame, seed: int) -> tuple[float, str]:
    """How long selection takes, without scaling, and which k it chooses."""
    scaled = scale_customers(clean, CONTRACT, ScalingOptions()).table
    start = time.perf_counter()
    outcome = selection(scaled, clean, CONTRACT, seed)
    return time.perf_counter() - start, k_in_words(outcome)


def main(argv: Sequence[str] = ()) -> bool:
    """Select on both tables in turn and print the seconds; whether the bound holds."""
    rounds = number_of_draws(argv, ROUNDS, __doc__)
    many = many_customers()
    few = many.sample(FEW, random_state=0).reset_index(drop=True)
    table = Table("round", "rows", "seconds", "k", title="Selection's own seconds")
    seconds: dict[int, list[float]] = {FEW: [], MANY: []}
    for number, clean in one_by_one(
        "cost", [(i, one) for i in range(rounds) for one in (few, many)]
    ):
        taken, k = seconds_of(clean, seed=number)
        seconds[len(clean)].append(taken)
        table.add_row(str(number), f"{len(clean):,}", f"{taken:.1f}", k)
    Console(width=WIDTH).print(table)
    ratios = [long / short for short, long in zip(seconds[FEW], seconds[MANY], strict=True)]
    name = f"median ratio, {MANY:,} to {FEW:,} rows"
    return tell(
        "Does selection's time grow with the table?",
        [
            measured("ratio of each round", ratios),
            measured(name, [median(ratios)], 1 - SPAN, 1 + SPAN, digits=2),
        ],
    )


if __name__ == "__main__":
    raise SystemExit(not main(sys.argv[1:]))
