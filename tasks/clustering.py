"""K-means on the chosen space, and the pipeline that assigns a customer to a segment."""

import copy
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from tasks.outcome import Outcome
from tasks.seeds import child_seed
from tasks.yardsticks import Yardsticks

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FIT_ROWS = 100_000  # more rows change the inertia by less than .02 %
ONE_CORE_ROWS = 20_000
WHOSE = ("", "champion_", "challenger_")


def cluster_customers(
    embedding: pd.DataFrame,
    scaled: pd.DataFrame,
    id_column: str,
    scaler: "Pipeline",
    embedder: Any,
    k: int,
    audit_rows: int,
    seed: int,
) -> Outcome:
    """Assign every customer to one of k segments.

    Parameters
    ----------
    embedding : DataFrame
        The id and the coordinates, (n_customers, 1 + n_dimensions).
    scaled : DataFrame
        The id and the features, (n_customers, 1 + n_features): the reference space.
    id_column : str
        Name of the id.
    scaler, embedder : Pipeline, transformer
        The fitted steps before K-means.
    k, audit_rows, seed : int
        Number of segments; rows for silhouettes; the run's seed.

    Returns
    -------
    Outcome
        `table` is the segments stage: segment, confidence and runner-up, and the same of
        champion and challenger; `learned` the model, one pipeline from a customer's columns
        to the segment's position; `log` the segment ids by position and the yardsticks.
    """
    Z = embedding.drop(columns=id_column).to_numpy()  # (n_customers, n_dimensions)
    X = scaled.drop(columns=id_column).to_numpy()  # (n_customers, n_features)
    kmeans = by_falling_size(fit_kmeans(Z, k, child_seed(seed, "clustering"), n_init=20), Z)
    ids = segment_ids(k)
    labels = kmeans.predict(Z)  # (n_customers,)
    customers = embedding[[id_column]].reset_index(drop=True)
    table = pd.concat([customers, assignments(labels, kmeans.transform(Z), ids)], axis=1)
    metrics = {
        "inertia": inertia(kmeans, Z),
        **Yardsticks(X, audit_rows, seed).measure(labels, k, Z),
    }
    model = assemble(scaler, embedder, kmeans)
    return Outcome(table, {"model.skops": model}, {"ids": ids, "metrics": metrics})


def fit_kmeans(Z: np.ndarray, k: int, random_state: int, n_init: int) -> KMeans:
    """K-means on at most `FIT_ROWS` rows of Z, (n_customers, n_dimensions).

    Small tables are fitted on one core: a second gains a third on a quiet machine, and on a busy
    one every iteration waits for the slower of the two (measured: twenty times as long).
    """
    if len(Z) > FIT_ROWS:
        rng = np.random.default_rng(random_state)
        Z = Z[np.sort(rng.choice(len(Z), FIT_ROWS, replace=False))]
    with threadpool_limits(1 if len(Z) <= ONE_CORE_ROWS else None):
        return KMeans(n_clusters=k, n_init=n_init, random_state=random_state).fit(Z)


@contextmanager
def one_core_each() -> Iterator[ThreadPoolExecutor]:
    """A pool with a thread per core, each of which fits on its own core.

    The limit is the whole process's: held around the pool, so that no fit in it ends by lifting
    the limit of another.
    """
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool


def by_falling_size(kmeans: KMeans, Z: np.ndarray) -> KMeans:
    """The same K-means with its clusters numbered by falling size among the rows of Z."""
    sizes = np.bincount(kmeans.predict(Z), minlength=kmeans.n_clusters)
    order = np.argsort(-sizes, kind="stable")
    ordered = copy.copy(kmeans)
    ordered.cluster_centers_ = np.ascontiguousarray(kmeans.cluster_centers_[order])
    ordered.labels_ = np.argsort(order)[kmeans.labels_].astype(np.int32)
    return ordered


def inertia(kmeans: KMeans, Z: np.ndarray) -> float:
    """Sum of squared distances to the centroids over all rows of Z, fitted on or not."""
    return -float(kmeans.score(Z))


def segment_ids(k: int) -> list[str]:
    """Ids while no store mints them: S01, S02 ... by falling size."""
    return [f"S{position:02d}" for position in range(1, k + 1)]


def assignments(labels: np.ndarray, distances: np.ndarray, ids: list[str]) -> pd.DataFrame:
    """Segments from labels, (n_customers,), and distances to the centroids, (n_customers, k).

    The proposed segment is the challenger's: without a store there is no champion yet, and
    what nothing is known about is null.
    """
    names = np.array(ids, dtype=object)
    is_own = np.arange(len(ids)) == labels[:, None]  # (n_customers, k)
    second = np.where(is_own, np.inf, distances).argmin(axis=1)
    nothing = np.full(len(labels), None, dtype=object)
    found = _assigned(names[labels], names[second])
    unknown = _assigned(nothing, nothing)
    known = {"": found, "champion_": unknown, "challenger_": found}
    return pd.DataFrame({w + name: known[w][name] for w in WHOSE for name in found})


def _assigned(segment: np.ndarray, runner_up: np.ndarray) -> dict[str, Any]:
    return {
        "segment": pd.array(segment, dtype="str"),
        "confidence": np.full(len(segment), np.nan),
        "runner_up": pd.array(runner_up, dtype="str"),
    }


def assemble(scaler: "Pipeline", embedder: Any, kmeans: KMeans) -> "Pipeline":
    """One scikit-learn pipeline: impute, transform, scale, embed, K-means."""
    from sklearn.pipeline import Pipeline

    return Pipeline([*scaler.steps, ("embed", embedder), ("kmeans", kmeans)])
