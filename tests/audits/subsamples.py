"""Count how often other customers give seven segments: ``python -m tests.audits.subsamples``.

Four 80 % subsamples of the reference table and eight synthetic months of as many rows, each
under three seeds. With `--draws 2` the first two of the subsamples and of the months.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from tests.audits.common import (
    WIDTH,
    counted,
    k_in_words,
    number_of_draws,
    one_by_one,
    reference_table,
    selection_of,
    synthetic_month,
    tallied,
    tell,
)

SUBSAMPLES, MONTHS, SEEDS = 4, 8, 3
SHARE = 0.8
K = "7"


def subsample(clean: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Four fifths of the customers, in their order."""
    rng = np.random.default_rng(seed)
    picked = rng.choice(len(clean), round(SHARE * len(clean)), replace=False)
    return clean.iloc[np.sort(picked)].reset_index(drop=True)


def tables(most: int) -> dict[str, pd.DataFrame]:
    """At most so many subsamples and as many synthetic months, by name."""
    clean = reference_table()
    first = {f"80 % of the reference table, {i}": subsample(clean, i) for i in range(SUBSAMPLES)}
    months = {f"synthetic month {i}": synthetic_month(i) for i in range(min(MONTHS, most))}
    return dict(list(first.items())[:most]) | months


def table_of(ks: dict[str, list[str]]) -> Table:
    """One line per table."""
    table = Table("customers", "k under each seed", "tally", title="k on other customers")
    for name, found in ks.items():
        table.add_row(name, " ".join(found), tallied(found))
    return table


def main(argv: Sequence[str] = ()) -> bool:
    """Choose k for every table under every seed and print it; whether the bound holds."""
    drawn = tables(number_of_draws(argv, MONTHS, __doc__))
    ks = defaultdict(list)
    for name, seed in one_by_one("other customers", product(drawn, range(SEEDS))):
        ks[name].append(k_in_words(selection_of(drawn[name], seed)))
    everyone = [k for found in ks.values() for k in found]
    Console(width=WIDTH, highlight=False).print(table_of(ks))
    figure = counted(f"k = {K}", [k == K for k in everyone], least=(31, 36))
    return tell(f"Subsamples and synthetic months: {tallied(everyone)}", [figure])


if __name__ == "__main__":
    raise SystemExit(not main(sys.argv[1:]))
