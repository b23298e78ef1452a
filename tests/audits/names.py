"""Count how often the segments get the seven personas: ``python -m tests.audits.names``.

Seven segments of the reference table under permuted numbers, of twenty 80 % subsamples of it, and
of twelve synthetic months of as many rows, each scaled and fitted anew. With `--draws 2` the first
two of each. The names of a subsample's customers are compared with those of the whole table.
"""

import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from tasks.kmeans import published_kmeans
from tasks.naming import name_segments
from tasks.scaling import ScalingOptions, scale_customers
from tests.audits.common import (
    WIDTH,
    counted,
    measured,
    number_of_draws,
    one_by_one,
    reference_table,
    synthetic_month,
    tell,
)
from tests.audits.judges import CONTRACT
from tests.audits.subsamples import subsample

SUBSAMPLES, MONTHS, K = 20, 12, 7
ID = CONTRACT.id.column
PERSONAS = {persona.name for persona in CONTRACT.personas}
OTHER_K = (3, 5, 9, 12)


def segments_of(clean: pd.DataFrame, seed: int, k: int = K) -> pd.Series:
    """The segment of each customer, its number drawn at random."""
    scaled = scale_customers(clean, CONTRACT, ScalingOptions()).table
    labels = published_kmeans(scaled.drop(columns=ID).to_numpy(), k, seed, "none").labels_
    return renumbered(pd.Series(labels), seed)


def renumbered(segment: pd.Series, seed: int) -> pd.Series:
    """The same segments under other numbers."""
    numbers = np.random.default_rng(seed).permutation(segment.nunique())
    ids = {of: f"S{number + 1:02d}" for of, number in zip(segment.unique(), numbers, strict=True)}
    return segment.map(ids)


def names_of(segment: pd.Series, clean: pd.DataFrame) -> pd.Series:
    """What each customer's segment is called, by customer."""
    names = name_segments(segment, clean, CONTRACT).set_index("segment")["name"]
    return pd.Series(segment.map(names).to_numpy(), index=clean[ID].to_numpy())


def all_seven(names: pd.Series) -> bool:
    """Whether the segments are called after the seven personas, each after one."""
    return set(names) == PERSONAS


def as_before(names: pd.Series, before: pd.Series) -> float:
    """Share of customers whose segment is called as it was."""
    return float((names == before.loc[names.index]).mean())


def table_of(clean: pd.DataFrame) -> Table:
    """Names of other numbers of segments, which nothing is asked of."""
    table = Table("k", "names, largest first", title="Other numbers of segments")
    for k in OTHER_K:
        names = names_of(segments_of(clean, 0, k), clean)
        table.add_row(str(k), "; ".join(map(str, names.value_counts().index)))
    return table


def main(argv: Sequence[str] = ()) -> bool:
    """Name all draws and print the counts; whether the bounds hold."""
    draws = number_of_draws(argv, SUBSAMPLES, __doc__)
    clean = reference_table()
    segment = segments_of(clean, 0)
    whole = names_of(segment, clean)
    permuted = [names_of(renumbered(segment, seed), clean) for seed in range(1, draws + 1)]
    parts = [
        names_of(segments_of(part, seed), part)
        for seed in one_by_one("subsample", range(draws))
        for part in [subsample(clean, seed)]
    ]
    months = [
        names_of(segments_of(month, seed), month)
        for seed in one_by_one("synthetic month", range(min(draws, MONTHS)))
        for month in [synthetic_month(seed)]
    ]
    Console(width=WIDTH, highlight=False).print(table_of(clean))
    figures = [
        counted("the reference table", [all_seven(whole)], least=(1, 1)),
        counted(
            "the same names under other numbers",
            [names.equals(whole) for names in permuted],
            (1, 1),
        ),
        counted("80 % subsamples", [all_seven(names) for names in parts], least=(19, 20)),
        measured(
            "customers called as in the whole", [as_before(names, whole) for names in parts], 0.95
        ),
        counted("synthetic months", [all_seven(names) for names in months], least=(11, 12)),
    ]
    return tell(f"{K} segments called after {len(PERSONAS)} personas", figures)


if __name__ == "__main__":
    raise SystemExit(not main(sys.argv[1:]))
