"""K-means: how it is fitted, on how many cores, and in which order its segments stand."""

import copy
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from tasks.seeds import child_seed

FIT_ROWS = 100_000  # more rows change the inertia by less than .02 %
ONE_CORE_ROWS = 20_000
AS_GOOD = 0.001  # of the inertia: two optima that differ by less are equally good


def fit_kmeans(
    Z: np.ndarray, k: int, random_state: int, n_init: int, weights: np.ndarray | None = None
) -> KMeans:
    """K-means on at most `FIT_ROWS` rows of Z, (n_customers, n_dimensions); each may weigh more.

    Small tables are fitted on one core: a second gains a third on a quiet machine, and on a busy
    one every iteration waits for the slower of the two (measured: twenty times as long).
    """
    if len(Z) > FIT_ROWS:
        rng = np.random.default_rng(random_state)
        picked = np.sort(rng.choice(len(Z), FIT_ROWS, replace=False))
        Z, weights = Z[picked], None if weights is None else weights[picked]
    with threadpool_limits(1 if len(Z) <= ONE_CORE_ROWS else None):
        return KMeans(n_clusters=k, n_init=n_init, random_state=random_state).fit(
            Z, sample_weight=weights
        )


def published_kmeans(Z: np.ndarray, k: int, seed: int, space: str) -> KMeans:
    """The fit whose segments are published, and therefore the one that is audited."""
    return fit_kmeans(Z, k, child_seed(seed, "clustering", space, k), n_init=20)


def near_champion(fitted: KMeans, Z: np.ndarray, labels: np.ndarray) -> KMeans:
    """The fit that starts from the champion's segments, if it is as good as `fitted`.

    Parameters
    ----------
    fitted : KMeans
        The best of the starts from anywhere.
    Z : ndarray, (n_customers, n_dimensions)
        The coordinates it was fitted on.
    labels : ndarray of int, (n_customers,)
        The champion's segments.

    Returns
    -------
    KMeans
        Of two optima within `AS_GOOD` of the lower inertia the one near the champion, so that a
        refit does not move customers for nothing.
    """
    found, starts = np.unique(labels, return_inverse=True)
    if len(found) != fitted.n_clusters:
        return fitted
    members = np.eye(len(found))[starts]  # (n_customers, k)
    centroids = members.T @ Z / members.sum(axis=0)[:, None]
    with threadpool_limits(1 if len(Z) <= ONE_CORE_ROWS else None):
        near = KMeans(n_clusters=len(found), init=centroids, n_init=1).fit(Z)
    return near if inertia(near, Z) <= (1 + AS_GOOD) * inertia(fitted, Z) else fitted


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
