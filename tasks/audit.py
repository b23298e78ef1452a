"""Candidates, fitted and measured: every number of segments, and every space.

All of it happens on at most `audit_rows` customers, so that its time does not grow with the
table; one distance matrix serves all candidates, and each core works on a candidate of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from expectations.contract import Contract
from expectations.errors import InputError
from tasks.embedding import EmbeddingOptions, embed, fit_space
from tasks.kmeans import fit_kmeans, one_core_each, published_kmeans
from tasks.scaling import business_columns
from tasks.seeds import child_seed
from tasks.selection import CHOICE, CURVE, SelectionOptions
from tasks.stability import Stability, refitter, resample
from tasks.yardsticks import (
    Partition,
    Reference,
    distance_matrix,
    inertia_of,
    measure,
    silhouette,
)

NAMES = ("space", "k")  # of a candidate, before its figures
STRATA = 12  # as many segments as the curves reach

Line = dict[str, Any]
Verdicts = dict[tuple[str, int], str]  # what is said of a candidate, by space and k


class Candidate(NamedTuple):
    """A segmentation that may be chosen, and its line in the table."""

    space: str
    k: int
    partition: Partition
    line: Line


@dataclass(frozen=True)
class Audit:
    """Fits candidates on the audit's customers and measures them.

    Parameters
    ----------
    reference : Reference
        The customers, as every candidate is measured on them.
    X : ndarray, (n_customers, n_features)
        What the candidates are made from, before embedding: the reference space itself, unless
        another preset's features are to be measured beside it.
    embedding : EmbeddingOptions
        Of the spaces.
    seed : int
        The run's seed.
    name : str
        What the space without an embedding is called.
    """

    reference: Reference
    X: np.ndarray
    embedding: EmbeddingOptions
    seed: int
    name: str = "none"

    def fit(self, k: int, space: str = "none") -> Partition:
        """The fit on all customers: where no sample was taken, the one that is published."""
        Z = embed(self.published_space(space), self.X)
        return Partition(published_kmeans(Z, k, self.seed, space).predict(Z), k, Z)

    def published_space(self, space: str) -> Any:
        """The fitted space: the one that is audited is the one that is published."""
        seed = child_seed(self.seed, "embedding", space)
        return fit_space(space, self.X, self.embedding, seed)

    def stability(
        self, fitted: Partition, resamples: int, may_fail: int | None = None, space: str = "none"
    ) -> Partition:
        """The same partition with what so many resamples say of it; those it has are kept."""
        refit = refitter(self.X, space, fitted.k, self.embedding, self.seed)
        done = fitted.stability.resamples if fitted.stability else ()
        numbers = range(len(done), resamples)
        more = resample(refit, fitted.labels, fitted.k, self.seed, numbers, may_fail)
        return replace(fitted, stability=Stability((*done, *more), resamples))

    def line(self, fitted: Partition, name: str) -> Line:
        """A candidate's line in the table."""
        return {"space": name, "k": fitted.k, **measure(self.reference, fitted)}

    def curve(
        self,
        ks: Sequence[int],
        audited: Mapping[int, int | None],
        resamples: int,
        on_candidate: Callable[[Any], Any],
    ) -> dict[int, Candidate]:
        """Fit and measure the plain space for every k; `audited` -> how often it may fail."""
        self.reference.distances  # noqa: B018 - computed once, before the cores part

        def candidate(k: int) -> Candidate:
            fitted = self.fit(k)
            if k in audited:
                fitted = self.stability(fitted, resamples, audited[k])
            return Candidate(self.name, k, fitted, self.line(fitted, self.name))

        order = sorted(ks, key=lambda k: (k in audited, k), reverse=True)  # long ones first
        with one_core_each() as pool:
            found = {one.k: on_candidate(one) for one in pool.map(candidate, order)}
        return {k: found[k] for k in ks}

    def space(self, name: str, k: int, resamples: int) -> Candidate:
        """Fit and measure another space, on few resamples: a network is trained anew on each."""
        fitted = self.stability(self.fit(k, name), resamples, space=name)
        return Candidate(name, k, fitted, self.line(fitted, name))

    def whole(self, candidate: Candidate, resamples: int) -> Candidate:
        """The candidate with all resamples, of one that had a few."""
        name = "none" if candidate.space == self.name else candidate.space
        fitted = self.stability(candidate.partition, resamples, space=name)
        return candidate._replace(partition=fitted, line=self.line(fitted, candidate.space))

    def null_curve(self, ks: Iterable[int]) -> pd.DataFrame:
        """Inertia and silhouette by `k` on columns permuted against each other.

        What the curves look like where no customer belongs to another.
        """
        X = permuted(self.X, child_seed(self.seed, "null"))
        distances = distance_matrix(X)

        def of(k: int) -> Line:
            labels = fit_kmeans(X, k, child_seed(self.seed, "null", k), n_init=10).predict(X)
            return {
                "k": k,
                "inertia_null": inertia_of(X, labels),
                "silhouette_null": silhouette(distances, labels),
            }

        with one_core_each() as pool:
            return pd.DataFrame(pool.map(of, ks))


def metrics_of(candidate: Candidate) -> Line:
    """Its yardsticks as JSON values."""
    figures = {name: value for name, value in candidate.line.items() if name not in NAMES}
    return {name: None if np.isnan(figure) else figure for name, figure in figures.items()}


def permuted(X: np.ndarray, seed: int) -> np.ndarray:
    """Each column in an order of its own: the same marginals, and no structure."""
    return np.random.default_rng(seed).permuted(X, axis=0)


def audit_sample(X: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """Positions of at most so many customers, a fixed part of each stratum of a first fit.

    Systematic sampling of the customers in the order of their strata (Cochran 1977, section 8.2),
    so that a small segment keeps its share.
    """
    if len(X) <= rows:
        return np.arange(len(X))
    rng = np.random.default_rng(child_seed(seed, "audit"))
    first = rng.choice(len(X), rows, replace=False)
    strata = fit_kmeans(X[first], min(STRATA, rows), child_seed(seed, "strata"), n_init=1)
    order = np.lexsort((rng.random(len(X)), strata.predict(X)))
    steps = (np.arange(rows) + rng.random()) * len(X) / rows
    return np.sort(order[steps.astype(int)])


def reference_of(
    X: np.ndarray, clean: pd.DataFrame, contract: Contract, rows: np.ndarray, seed: int
) -> Reference:
    """The audit's customers, as every candidate is measured on them."""
    raw = clean.iloc[rows]
    return Reference(
        X[rows],
        columns=business_columns(raw, contract).to_numpy(),
        raw=raw[list(contract.numeric)].to_numpy(float),
        seed=child_seed(seed, "folds"),
        is_sample=len(rows) < len(X),
    )


def possible_ks(segments: int, n_customers: int) -> list[int]:
    """Each k that is tried: those of the curve and the one asked for, below n_customers."""
    asked_for = max(segments, 2)
    if asked_for >= n_customers:
        raise InputError(
            f"selection: {n_customers:,} customers cannot be told apart into {asked_for} segments. "
            "Send more customers, or ask for fewer segments."
        )
    return sorted({k for k in CURVE if k < n_customers} | {asked_for})


def audited(ks: Sequence[int], options: SelectionOptions) -> dict[int, int | None]:
    """Which k are resampled, and how often a segment may be missed before its k is given up."""
    choice: dict[int, int | None] = {k: options.may_fail for k in ks if k in CHOICE}
    return choice | ({options.segments: None} if options.segments else {})
