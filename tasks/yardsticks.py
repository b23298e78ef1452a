"""Yardsticks of a partition, the same for every candidate, in one reference space."""

import numpy as np
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score
from sklearn.metrics.pairwise import euclidean_distances

from tasks.seeds import child_seed


class Yardsticks:
    """Measures partitions of the customers in the reference space.

    Parameters
    ----------
    X : ndarray, (n_customers, n_features)
        The reference space: the scaled features.
    audit_rows : int
        Silhouettes are computed on a random sample of at most so many customers.
    seed : int
        The run's seed; draws the sample.
    """

    def __init__(self, X: np.ndarray, audit_rows: int, seed: int) -> None:
        self.X = X
        self.sample = np.arange(len(X))
        if len(X) > audit_rows:
            rng = np.random.default_rng(child_seed(seed, "audit"))
            self.sample = np.sort(rng.choice(len(X), audit_rows, replace=False))
        self.distances = distance_matrix(X[self.sample])

    def measure(self, labels: np.ndarray, k: int, Z: np.ndarray) -> dict[str, float]:
        """Every yardstick of a partition into k, (n_customers,), that was made in the space Z.

        `silhouette` is in the reference space and compares between candidates;
        `silhouette_own` is in Z and does not. Sources: Rousseeuw 1987; Davies and Bouldin 1979;
        Calinski and Harabasz 1974.
        """
        is_reference = np.array_equal(Z, self.X)
        own = self.distances if is_reference else distance_matrix(Z[self.sample])
        return {
            "silhouette": silhouette(self.distances, labels[self.sample]),
            "silhouette_own": silhouette(own, labels[self.sample]),
            "davies_bouldin": float(davies_bouldin_score(self.X, labels)),
            "calinski_harabasz": float(calinski_harabasz_score(self.X, labels)),
            "smallest_share": float(np.bincount(labels, minlength=k).min() / len(labels)),
        }


def distance_matrix(X: np.ndarray) -> np.ndarray:
    """Euclidean distances between all rows of X, (n, n): one matrix serves all k.

    Held in float32, but computed in float64: in float32 rows that lie close together and far
    from the origin would lose all digits of their distance.
    """
    return euclidean_distances(X.astype(np.float32))


def silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette from a distance matrix, (n, n) (Rousseeuw 1987).

    A customer alone in a segment counts 0, and so does everyone where there is one segment only.
    One matrix product: scikit-learn takes three times as long on the same distances.
    """
    members = np.eye(labels.max() + 1, dtype=np.float32)[labels]  # (n, k)
    sizes = members.sum(axis=0)
    if np.count_nonzero(sizes) == 1:
        return 0.0
    sums = distances @ members
    rows = np.arange(len(labels))
    own_size = sizes[labels]
    within = sums[rows, labels] / np.maximum(own_size - 1, 1)
    others = sums / np.maximum(sizes, 1)
    others[:, sizes == 0] = np.inf
    others[rows, labels] = np.inf
    nearest = others.min(axis=1)
    widths = (nearest - within) / np.maximum(np.maximum(nearest, within), 1e-12)
    return float(np.where(own_size > 1, widths, 0).mean())


def eta_squared(columns: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each column's variance that lies between the segments, (n_columns,).

    `columns` is (n_customers, n_columns). A column that does not vary is explained by nothing: 0.
    Source: Fisher 1925, the correlation ratio.
    """
    members = np.eye(labels.max() + 1)[labels]  # (n_customers, k)
    sizes = members.sum(axis=0)
    centred = columns - columns.mean(axis=0)
    sums = members.T @ centred  # (k, n_columns)
    between = (np.square(sums) / np.maximum(sizes, 1)[:, None]).sum(axis=0)
    total = np.square(centred).sum(axis=0)
    return np.divide(between, total, out=np.zeros_like(total), where=total > 0)
