"""Add noise and near-copies to the reference table: ``python -m tests.audits.filters``.

Twenty noise columns, four of them lognormal amounts, and near-copies of five of the eleven
features: the feature as it is scaled, plus a tenth of a standard deviation. In each draw other
five are copied.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from sklearn.metrics import adjusted_rand_score

from expectations.contract import Contract
from expectations.parts import Column
from tasks.kmeans import published_kmeans
from tasks.scaling import ScalingOptions, left_out_in_words, scale_customers
from tests.audits.common import (
    WIDTH,
    counted,
    measured,
    number_of_draws,
    one_by_one,
    reference_table,
    tallied,
    tell,
)
from tests.audits.judges import CONTRACT

DRAWS, K = 5, 7
NORMAL, LOGNORMAL, COPIES = 16, 4, 5
NOISE_SD = 0.1


class Found(NamedTuple):
    """Added columns that were kept, features that were not, and what became of the segments."""

    kept: list[str]
    lost: list[str]
    ari: float
    words: str


def added_columns(scaled: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Noise and near-copies; `scaled` is (n_customers, n_features)."""
    rng = np.random.default_rng(seed)
    n = len(scaled)
    copied = rng.choice(scaled.columns, COPIES, replace=False)
    columns = {f"normal_{i}": rng.normal(size=n) for i in range(NORMAL)}
    columns |= {f"lognormal_{i}": rng.lognormal(6, 1, n) for i in range(LOGNORMAL)}
    columns |= {f"copy_{name}": scaled[name] + rng.normal(0, NOISE_SD, n) for name in copied}
    return pd.DataFrame(columns)


def extended(contract: Contract, added: pd.DataFrame) -> Contract:
    """The contract with the added columns at its end."""
    kinds = {name: "money" if name.startswith("lognormal") else "score" for name in added}
    more = {name: Column(kind=kind) for name, kind in kinds.items()}
    return contract.model_copy(update={"columns": {**contract.columns, **more}})


def segments(scaled: pd.DataFrame) -> np.ndarray:
    """K-means at k = 7 on all columns, (n_customers,)."""
    X = scaled.to_numpy()
    return published_kmeans(X, K, 0, "none").predict(X)


def found_with(clean: pd.DataFrame, seed: int) -> Found:
    """Scale and segment with the added columns, and compare with what was without."""
    before, _, log = scale_customers(clean, CONTRACT, ScalingOptions())
    features = log["features"]
    added = added_columns(before[features], seed)
    contract = extended(CONTRACT, added)
    after, _, log = scale_customers(pd.concat([clean, added], axis=1), contract, ScalingOptions())
    kept = [name for name in added if name in log["features"]]
    lost = [name for name in features if name not in log["features"]]
    ari = adjusted_rand_score(segments(before[features]), segments(after[log["features"]]))
    return Found(kept, lost, float(ari), left_out_in_words(log["dropped"]))


def main(argv: Sequence[str] = ()) -> bool:
    """Add columns in every draw and print what the filters did; whether all bounds hold."""
    draws = number_of_draws(argv, DRAWS, __doc__)
    clean = reference_table()
    found = [found_with(clean, seed) for seed in one_by_one("filters, draw", range(draws))]
    Console(width=WIDTH, highlight=False).print(f"First draw. {found[0].words}")
    kept = tallied([name for one in found for name in one.kept])
    lost = tallied([name for one in found for name in one.lost])
    figures = [
        counted(
            f"all {NORMAL + LOGNORMAL + COPIES} left out (kept: {kept})",
            [not one.kept for one in found],
            (1, 1),
        ),
        counted(f"no feature left out (left out: {lost})", [not one.lost for one in found], (1, 1)),
        measured(
            f"ARI to the segments without, k = {K}", [one.ari for one in found], low=0.95, each=True
        ),
    ]
    return tell("Twenty noise columns and five near-copies", figures)


if __name__ == "__main__":
    raise SystemExit(not main(sys.argv[1:]))
