"""Yardsticks of a partition, the same for every candidate, in one reference space.

A new yardstick is one more line in `YARDSTICKS`: table, report and JSON take it from there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.metrics.pairwise import euclidean_distances

from tasks.stability import Stability

NAN = float("nan")
TREE_DEPTH = 4
FOLDS = 5
GROUPS = 10  # of the sample, for its standard error


@dataclass(frozen=True)
class Reference:
    """The customers of the audit, as every candidate is measured on them.

    Parameters
    ----------
    X : ndarray, (n_customers, n_features)
        The reference space: the monthly preset's scaled features.
    columns : ndarray, (n_customers, n_numeric)
        All numbers of the contract, money and counts as log1p: what is to be explained.
    raw : ndarray, (n_customers, n_numeric)
        The same in their own units: what a tree may cut.
    seed : int
        Draws the folds.
    is_sample : bool
        Whether the audit's customers are a sample of more.
    """

    X: np.ndarray
    columns: np.ndarray
    raw: np.ndarray
    seed: int
    is_sample: bool = False

    @cached_property
    def distances(self) -> np.ndarray:
        """Between all customers, (n_customers, n_customers)."""
        return distance_matrix(self.X)


@dataclass(frozen=True)
class Partition:
    """A candidate: who is in which segment, and where that was found.

    Parameters
    ----------
    labels : ndarray of int, (n_customers,)
        The segment of each customer, 0 to k - 1.
    k : int
        Number of segments.
    Z : ndarray, (n_customers, n_dimensions), optional
        Coordinates in which it was found; none for a rule.
    stability : Stability, optional
        What the resamples say, where it was audited.
    """

    labels: np.ndarray
    k: int
    Z: np.ndarray | None = None
    stability: Stability | None = None

    @property
    def told(self) -> Stability:
        """What the resamples say, of one that was audited."""
        if self.stability is None:
            raise ValueError("this partition was not audited")
        return self.stability


class Yardstick(NamedTuple):
    """How to measure a partition, and how to print the figure."""

    heading: str
    digits: int
    measure: Callable[[Reference, Partition], float]
    is_share: bool = False
    source: str = ""


def inertia_of(space: np.ndarray, labels: np.ndarray) -> float:
    """Sum of squared distances to the segments' means."""
    members = np.eye(labels.max() + 1)[labels]
    means = members.T @ space / np.maximum(members.sum(axis=0), 1)[:, None]
    return float(np.square(space - means[labels]).sum())


def _stability(of: Callable[[Stability], float]) -> Callable[[Reference, Partition], float]:
    return lambda _, partition: of(partition.stability) if partition.stability else NAN


def _at_home(measure: Callable[[Reference, Partition], float]) -> Callable:
    """The same figure in the candidate's own space: it compares with nothing else."""

    def measured(reference: Reference, partition: Partition) -> float:
        if partition.Z is None:
            return NAN
        if np.array_equal(partition.Z, reference.X):
            return measure(reference, partition)
        return measure(replace(reference, X=partition.Z), partition)

    return measured


def _silhouette(reference: Reference, partition: Partition) -> float:
    return silhouette(reference.distances, partition.labels)


def _silhouette_error(reference: Reference, partition: Partition) -> float:
    """0 where all customers were measured; else by random groups.

    The spread of the widths themselves would understate it by a third: they share their means.
    """
    if not reference.is_sample:
        return 0.0
    order = np.random.default_rng(reference.seed).permutation(len(partition.labels))
    found = [
        silhouette(reference.distances[np.ix_(rows, rows)], partition.labels[rows])
        for rows in np.array_split(order, GROUPS)
    ]
    return float(np.std(found, ddof=1) / np.sqrt(GROUPS))


def _inertia(reference: Reference, partition: Partition) -> float:
    return inertia_of(reference.X if partition.Z is None else partition.Z, partition.labels)


def _of_several(score: Callable[[np.ndarray, np.ndarray], float]) -> Callable:
    """A score that is not defined for one segment."""

    def measured(reference: Reference, partition: Partition) -> float:
        several = 1 < len(np.unique(partition.labels)) < len(partition.labels)
        return float(score(reference.X, partition.labels)) if several else NAN

    return measured


_davies_bouldin = _of_several(davies_bouldin_score)
_calinski_harabasz = _of_several(calinski_harabasz_score)


def _smallest_share(reference: Reference, partition: Partition) -> float:
    return float(np.bincount(partition.labels, minlength=partition.k).min() / len(reference.X))


def _eta_squared(reference: Reference, partition: Partition) -> float:
    return float(eta_squared(reference.columns, partition.labels).mean())


def _tree_accuracy(reference: Reference, partition: Partition) -> float:
    """How far a handful of cuts on the raw columns tells the segments: 5-fold."""
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    folds = KFold(min(FOLDS, len(reference.raw)), shuffle=True, random_state=reference.seed)
    tree = DecisionTreeClassifier(max_depth=TREE_DEPTH, random_state=reference.seed)
    return float(cross_val_score(tree, reference.raw, partition.labels, cv=folds).mean())


YARDSTICKS: Mapping[str, Yardstick] = MappingProxyType(
    {
        "survival": Yardstick(
            "survival", 1, _stability(lambda s: s.survival), is_share=True, source="Hennig 2007"
        ),
        "resamples": Yardstick("resamples", 0, _stability(lambda s: len(s.resamples))),
        "bootstrap_ari": Yardstick(
            "bootstrap ARI", 3, _stability(lambda s: s.ari), source="Hubert and Arabie 1985"
        ),
        "worst_jaccard": Yardstick(
            "worst Jaccard",
            3,
            _stability(lambda s: float(s.jaccards.mean(axis=0).min())),
            source="Hennig 2007",
        ),
        "smallest_share": Yardstick("smallest segment", 1, _smallest_share, is_share=True),
        "silhouette": Yardstick("silhouette", 3, _silhouette, source="Rousseeuw 1987"),
        "silhouette_error": Yardstick(
            "its standard error", 4, _silhouette_error, source="Wolter 2007, chapter 2"
        ),
        "silhouette_own": Yardstick("silhouette (own space)", 3, _at_home(_silhouette)),
        "davies_bouldin": Yardstick(
            "Davies-Bouldin", 3, _davies_bouldin, source="Davies and Bouldin 1979"
        ),
        "davies_bouldin_own": Yardstick("Davies-Bouldin (own space)", 3, _at_home(_davies_bouldin)),
        "calinski_harabasz": Yardstick(
            "Calinski-Harabasz", 0, _calinski_harabasz, source="Calinski and Harabasz 1974"
        ),
        "calinski_harabasz_own": Yardstick(
            "Calinski-Harabasz (own space)", 0, _at_home(_calinski_harabasz)
        ),
        "eta_squared": Yardstick("eta squared", 3, _eta_squared, source="Fisher 1925"),
        "inertia": Yardstick("inertia (own space)", 0, _inertia, source="Lloyd 1982"),
        "tree_accuracy": Yardstick(
            "told by a shallow tree", 1, _tree_accuracy, is_share=True, source="Breiman et al. 1984"
        ),
    }
)


def measure(reference: Reference, partition: Partition) -> dict[str, float]:
    """Every yardstick of a partition."""
    return {name: y.measure(reference, partition) for name, y in YARDSTICKS.items()}


def distance_matrix(X: np.ndarray) -> np.ndarray:
    """Euclidean distances between all rows of X, (n, n): one matrix serves all k.

    Held in float32, but computed in float64: in float32 rows that lie close together and far
    from the origin would lose all digits of their distance.
    """
    return euclidean_distances(X.astype(np.float32))


def silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette from a distance matrix, (n, n) (Rousseeuw 1987)."""
    return float(silhouette_widths(distances, labels).mean())


def silhouette_widths(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Silhouette of each customer, (n,).

    A customer alone in a segment counts 0, and so does everyone where there is one segment only.
    One matrix product: scikit-learn takes three times as long on the same distances.
    """
    members = np.eye(labels.max() + 1, dtype=np.float32)[labels]  # (n, k)
    sizes = members.sum(axis=0)
    if np.count_nonzero(sizes) == 1:
        return np.zeros(len(labels))
    sums = distances @ members
    rows = np.arange(len(labels))
    own_size = sizes[labels]
    within = sums[rows, labels] / np.maximum(own_size - 1, 1)
    others = sums / np.maximum(sizes, 1)
    others[:, sizes == 0] = np.inf
    others[rows, labels] = np.inf
    nearest = others.min(axis=1)
    widths = (nearest - within) / np.maximum(np.maximum(nearest, within), 1e-12)
    return np.where(own_size > 1, widths, 0)


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


def agreement(labels: np.ndarray, others: np.ndarray) -> float:
    """Share of customers on whom two partitions agree, their segments matched as well as may be.

    Hungarian assignment on the overlaps; at most 1, and lower where one has more segments.
    """
    both = contingency_matrix(labels, others)
    return float(both[linear_sum_assignment(both, maximize=True)].sum() / len(labels))


def left_out_eta_squared(reference: Reference, stability: Stability) -> np.ndarray:
    """Mean eta squared of the customers whom each resample left out, (n_resamples,).

    Their segments owe nothing to them, so a space cannot win by bending to its customers.
    """
    return np.array(
        [
            eta_squared(reference.columns[one.left_out], one.labels[one.left_out]).mean()
            for one in stability.resamples
        ]
    )
