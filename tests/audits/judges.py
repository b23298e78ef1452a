"""Measure who finds rows that fit nowhere: ``python -m tests.audits.judges``.

In each of five draws three fifths of the customers are fitted on; among the others 2 % are made
odd, ten times anew, in the ten kinds of `tests.oddities`. The table is the one that CCDATA_CSV
names, or a synthetic month.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

from deployments.ephemeral import quiet_environment
from expectations.contract import load_contract
from tasks.cleaning import clean_customers
from tasks.fetching import Fetched, fetch, fetched_table
from tasks.ingestion import SourceOptions, read_customers
from tasks.sample import draw_month
from tasks.scaling import ScalingOptions, scale_customers
from tasks.typicality import JUDGES, TypicalityOptions, fit_typicality
from tests.oddities import ODDITIES, plant

CONTRACT = load_contract("ccdata")
MONTH = pd.Period("2026-10", "M")
ROWS = 8950  # of the reference table
DRAWS, PLANTINGS = 5, 10
ODD_SHARE, FITTED_SHARE = 0.02, 0.6
ASKED_AUC = 0.85
WIDTH = 120  # the table by kind is as wide as that

Oddness = Callable[[np.ndarray], np.ndarray]  # scaled rows -> one number each, high where odd
Candidate = Callable[[np.ndarray, int], Oddness]


class Draw(NamedTuple):
    """Scaled customers to fit on, and held-out rows with the kind of each ("" where clean)."""

    fitted: np.ndarray
    months: list[tuple[np.ndarray, np.ndarray]]


class Found(NamedTuple):
    """What a judge found in one draw."""

    auc: float
    precision: float
    by_kind: dict[str, float]


def nearest_centroid(X: np.ndarray, seed: int) -> Oddness:
    kmeans = KMeans(7, n_init=10, random_state=seed).fit(X)
    return lambda rows: kmeans.transform(rows).min(axis=1)


def pca_rebuild(X: np.ndarray, seed: int) -> Oddness:
    pca = PCA(6, svd_solver="full").fit(X)
    return lambda rows: np.square(rows - pca.inverse_transform(pca.transform(rows))).mean(axis=1)


def isolation_forest(X: np.ndarray, seed: int) -> Oddness:
    forest = IsolationForest(random_state=seed).fit(X)
    return lambda rows: -forest.score_samples(rows)


def local_outlier_factor(X: np.ndarray, seed: int) -> Oddness:
    factor = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(X)
    return lambda rows: -factor.score_samples(rows)


def ours(judge: Literal["neighbours", "autoencoder"], X: np.ndarray, seed: int) -> Oddness:
    typicality = fit_typicality(X, TypicalityOptions(judge=judge), seed)
    return lambda rows: -typicality.score_samples(rows)


CANDIDATES: Mapping[str, Candidate] = MappingProxyType(
    {
        "nearest K-means centroid": nearest_centroid,
        "PCA(6) rebuild error": pca_rebuild,
        "IsolationForest": isolation_forest,
        "LOF(20)": local_outlier_factor,
        "autoencoder": partial(ours, "autoencoder"),
        "neighbours": partial(ours, "neighbours"),
    }
)


def source() -> Fetched:
    """Open the reference table, or a synthetic month where there is none."""
    if path := os.environ.get("CCDATA_CSV"):
        return fetch(path)
    return fetched_table(draw_month(ROWS, MONTH, seed=0).table, "synthetic month")


def clean_table(fetched: Fetched) -> pd.DataFrame:
    """Read the customers and set the broken rows aside."""
    return clean_customers(read_customers(fetched, CONTRACT, SourceOptions()).table, CONTRACT).table


def draw(clean: pd.DataFrame, seed: int) -> Draw:
    """Divide the customers, learn the scale from those to be fitted, plant among the others."""
    rng = np.random.default_rng(seed)
    mixed = clean.iloc[rng.permutation(len(clean))].reset_index(drop=True)
    n_fitted = round(FITTED_SHARE * len(clean))
    scaled, learned, log = scale_customers(mixed[:n_fitted], CONTRACT, ScalingOptions())
    held_out = mixed[n_fitted:].reset_index(drop=True)
    planted = [plant(held_out, ODD_SHARE, rng) for _ in range(PLANTINGS)]
    scaler = learned["scaler.skops"]
    months = [(scaler.transform(table), kinds) for table, kinds in planted]
    return Draw(scaled[log["features"]].to_numpy(), months)


def measure(candidate: Candidate, drawn: Draw, seed: int) -> Found:
    """Fit a judge and let it look for the odd rows."""
    oddness = candidate(drawn.fitted, seed)
    scores = [oddness(rows) for rows, _ in drawn.months]
    truths = [kinds != "" for _, kinds in drawn.months]
    pairs = list(zip(truths, scores, strict=True))
    auc = np.mean([roc_auc_score(is_odd, score) for is_odd, score in pairs])
    precision = np.mean([precision_at(ODD_SHARE, is_odd, score) for is_odd, score in pairs])
    kinds = np.concatenate([kinds for _, kinds in drawn.months])
    return Found(float(auc), float(precision), auc_by_kind(kinds, np.concatenate(scores)))


def precision_at(share: float, is_odd: np.ndarray, scores: np.ndarray) -> float:
    """Return how many of the rows that look oddest, so many of all, are odd."""
    oddest = np.argsort(-scores)[: round(share * len(scores))]
    return float(is_odd[oddest].mean())


def auc_by_kind(kinds: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return the AUC of each kind's rows against the clean ones."""
    among = {kind: (kinds == kind) | (kinds == "") for kind in ODDITIES}
    return {k: float(roc_auc_score(kinds[rows] == k, scores[rows])) for k, rows in among.items()}


def spread(values: list[float]) -> str:
    """Write mean and standard deviation over the draws."""
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def overview(found: Mapping[str, list[Found]]) -> Table:
    """One line per judge."""
    table = Table("judge", "held-out AUC", "precision at 2 %", title="Who finds the odd rows")
    for name, draws in found.items():
        table.add_row(name, spread([f.auc for f in draws]), spread([f.precision for f in draws]))
    return table


def kinds_table(found: Mapping[str, list[Found]]) -> Table:
    """One line per kind of oddity, one column per judge: mean AUC."""
    table = Table("oddity", *found, title="AUC by kind")
    table.columns[0].no_wrap = True
    for kind in ODDITIES:
        aucs = [np.mean([f.by_kind[kind] for f in draws]) for draws in found.values()]
        table.add_row(kind, *(f"{auc:.2f}" for auc in aucs))
    return table


def main(argv: Sequence[str] = ()) -> bool:
    """Measure every judge in every draw; whether both of ours find the odd rows."""
    os.environ.update(quiet_environment(os.environ))
    console = Console(width=WIDTH)
    clean = clean_table(source())
    found: dict[str, list[Found]] = {name: [] for name in CANDIDATES}
    for seed in range(DRAWS):
        drawn = draw(clean, seed)
        for name, candidate in CANDIDATES.items():
            console.print(f"draw {seed + 1} of {DRAWS}: {name}", highlight=False)
            found[name].append(measure(candidate, drawn, seed))
    console.print(overview(found))
    console.print(kinds_table(found))
    return all(np.mean([one.auc for one in found[name]]) >= ASKED_AUC for name in JUDGES)


if __name__ == "__main__":
    sys.exit(not main())
