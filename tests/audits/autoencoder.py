"""Measure what the autoencoder rebuilds and how stable it is, beside PCA and the plain features.

``python -m tests.audits.autoencoder``. The table is the one that CCDATA_CSV names, or a synthetic
month.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from deployments.ephemeral import quiet_environment
from tasks.autoencoder import rebuild_error, squared_error
from tasks.embedding import SPACES, EmbeddingOptions, embed, fit_space
from tasks.scaling import ScalingOptions, scale_customers
from tests.audits.judges import CONTRACT, clean_table, source, spread

OPTIONS = EmbeddingOptions(width=6, networks=3)
SEEDS, RESAMPLES, K = 5, 12, 7
HALF, STABLE = 0.5, 0.93  # what is asked of the autoencoder


def held_out_errors(clean: pd.DataFrame, seed: int) -> tuple[float, float]:
    """Mean squared error of autoencoder and PCA on a tenth that neither scale nor fit has seen."""
    training, held_out = train_test_split(clean, test_size=0.1, random_state=seed)
    scaled, learned, log = scale_customers(training, CONTRACT, ScalingOptions())
    X, unseen = scaled[log["features"]].to_numpy(), learned["scaler.skops"].transform(held_out)
    network = fit_space("autoencoder", X, OPTIONS, seed)
    pca = fit_space("pca", X, OPTIONS, seed)
    return squared_error(unseen, embed(network, unseen)), rebuild_error(pca, unseen)


def segments(space: str, X: np.ndarray, fitted_on: np.ndarray, seed: int) -> np.ndarray:
    """Segment all rows of X by scaler, space and K-means fitted on some of them."""
    scaler = StandardScaler().fit(X[fitted_on])
    sample = scaler.transform(X[fitted_on])
    transformer = fit_space(space, sample, OPTIONS, seed)
    kmeans = KMeans(K, n_init=10, random_state=seed).fit(embed(transformer, sample))
    return kmeans.predict(embed(transformer, scaler.transform(X)))


def stability(space: str, X: np.ndarray, console: Console) -> list[float]:
    """Adjusted Rand index of each bootstrap resample's segments to those of the fit on all."""
    reference = segments(space, X, np.arange(len(X)), seed=0)
    indices = []
    for seed in range(1, RESAMPLES + 1):
        resample = np.random.default_rng(seed).integers(0, len(X), len(X))
        indices.append(adjusted_rand_score(reference, segments(space, X, resample, seed)))
        console.print(
            f"{space}, resample {seed} of {RESAMPLES}: ARI {indices[-1]:.3f}", highlight=False
        )
    return indices


def error_table(errors: list[tuple[float, float]]) -> Table:
    """One line per seed."""
    title = f"Held-out mean squared error at width 6 (asked for: a ratio of {HALF} or less)"
    table = Table("seed", "autoencoder", "PCA", "ratio", title=title)
    for seed, (network, pca) in enumerate(errors):
        table.add_row(str(seed), f"{network:.4f}", f"{pca:.4f}", f"{network / pca:.3f}")
    ratios = [network / pca for network, pca in errors]
    table.add_row("mean", *map(spread, map(list, zip(*errors, strict=True))), spread(ratios))
    return table


def stability_table(indices: dict[str, list[float]]) -> Table:
    """One line per space."""
    title = f"Bootstrap ARI at k = {K} (asked for: {STABLE} or more)"
    table = Table("space", "mean", "lowest", title=title)
    for space, values in indices.items():
        table.add_row(space, spread(values), f"{min(values):.3f}")
    return table


def main(argv: Sequence[str] = ()) -> bool:
    """Measure errors over seeds and stability over resamples, and print both; whether they hold."""
    os.environ.update(quiet_environment(os.environ))
    console = Console()
    clean = clean_table(source())
    errors = []
    for seed in range(SEEDS):
        console.print(f"held-out error, seed {seed + 1} of {SEEDS}", highlight=False)
        errors.append(held_out_errors(clean, seed))
    scaled, _, log = scale_customers(clean, CONTRACT, ScalingOptions())
    X = scaled[log["features"]].to_numpy()
    indices = {space: stability(space, X, console) for space in SPACES}
    console.print(error_table(errors))
    console.print(stability_table(indices))
    halved = all(network <= HALF * pca for network, pca in errors)
    return halved and float(np.mean(indices["autoencoder"])) >= STABLE


if __name__ == "__main__":
    sys.exit(not main())
