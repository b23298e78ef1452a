"""Which number of segments, in which space: every candidate on one line.

For now k is chosen by elbow and silhouette; the rule stands in `choose_k`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, field_validator

from expectations.errors import InputError
from tasks.clustering import fit_kmeans, inertia, one_core_each
from tasks.embedding import EmbeddingOptions, embed, fit_space
from tasks.outcome import Outcome
from tasks.seeds import child_seed
from tasks.yardsticks import Yardsticks

Progress = Callable[[int, int], None]

CURVE = range(2, 13)
CHOICE = range(3, 10)


class SelectionOptions(BaseModel):
    """How the number of segments is found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segments: int = Field(
        default=0,
        ge=0,
        le=50,
        title="Number of segments",
        description="0 chooses it; any other number is taken as it is.",
    )
    audit_rows: int = Field(
        default=10_000,
        ge=100,
        title="Rows in the audit",
        description="Silhouettes are computed on a sample of at most so many customers.",
    )

    @field_validator("segments")
    @classmethod
    def _more_than_one(cls, segments: int) -> int:
        if segments == 1:
            raise ValueError("one segment is no segmentation: give 2 or more, or 0 to choose")
        return segments


def select_segments(
    scaled: pd.DataFrame,
    id_column: str,
    options: SelectionOptions,
    embedding: EmbeddingOptions,
    min_smallest_share: float,
    seed: int,
    on_progress: Progress | None = None,
) -> Outcome:
    """Measure every candidate and choose one.

    Parameters
    ----------
    scaled : DataFrame
        The id and the features, (n_customers, 1 + n_features); the reference space.
    id_column : str
        Name of the id.
    options, embedding : SelectionOptions, EmbeddingOptions
        What is pinned, and what is left to the choice.
    min_smallest_share : float
        Candidates with a smaller smallest segment are not chosen.
    seed : int
        The run's seed.
    on_progress : callable, optional
        Called with (candidates measured, candidates in all).

    Returns
    -------
    Outcome
        `table` has one line per candidate (space, k) and `chosen`; `learned` the chosen
        space, fitted; `log` the choice in words. Raises `InputError` where there are too few
        customers for the segments asked for, or for two.
    """
    X = scaled.drop(columns=id_column).to_numpy()  # (n_customers, n_features)
    ks = _possible(options.segments, len(X))
    space = "none" if embedding.embedding == "auto" else embedding.embedding
    told = _Told(on_progress, len(ks) + (embedding.epochs if space == "autoencoder" else 0))
    yardsticks = Yardsticks(X, options.audit_rows, seed)

    def measure(space: str, k: int, Z: np.ndarray) -> dict[str, object]:
        kmeans = fit_kmeans(Z, k, child_seed(seed, "selection", space, k), n_init=10)
        figures = yardsticks.measure(kmeans.predict(Z), k, Z)
        return {"space": space, "k": k, "inertia": inertia(kmeans, Z), **figures}

    with one_core_each() as pool:
        measured = pool.map(lambda k: measure("none", k, X), ks)
        plain = pd.DataFrame([told.after(line) for line in measured])
    curve = plain[plain["k"].isin(CURVE)]  # without a far k that was asked for
    k, why = _pinned(options) or choose_k(curve, min_smallest_share)
    transformer = fit_space(space, X, embedding, child_seed(seed, "embedding"), on_epoch=told.after)
    told.all()
    others = [] if space == "none" else [measure(space, k, embed(transformer, X))]
    candidates = pd.concat([plain, pd.DataFrame(others)], ignore_index=True)
    chosen = (candidates["space"] == space) & (candidates["k"] == k)
    log = {
        "k": k,
        "space": space,
        "elbow": elbow(curve),
        "why": f"{k}: {why}",
        "pinned": bool(options.segments),
    }
    return Outcome(candidates.assign(chosen=chosen), {"embedding.skops": transformer}, log)


class _Told:
    """Counts what is done, and tells."""

    def __init__(self, on_progress: Progress | None, total: int) -> None:
        self.on_progress, self.total, self.done = on_progress, total, 0

    def after(self, *result: Any) -> Any:
        self.done += 1
        if self.on_progress:
            self.on_progress(self.done, self.total)
        return result[0]

    def all(self) -> None:
        """A network may end before its last epoch."""
        if self.on_progress and self.done < self.total:
            self.on_progress(self.total, self.total)


def _possible(segments: int, n_customers: int) -> list[int]:
    """Each k that is tried: those of the curve and the one asked for, below n_customers."""
    asked_for = max(segments, 2)
    if asked_for >= n_customers:
        raise InputError(
            f"selection: {n_customers:,} customers cannot be told apart into {asked_for} segments. "
            "Send more customers, or ask for fewer segments."
        )
    return sorted({k for k in CURVE if k < n_customers} | {asked_for})


def _pinned(options: SelectionOptions) -> tuple[int, str] | None:
    return (options.segments, "as asked for, not chosen") if options.segments else None


def choose_k(candidates: pd.DataFrame, min_smallest_share: float) -> tuple[int, str]:
    """The best silhouette at or above the elbow, among those whose segments are large enough.

    Parameters
    ----------
    candidates : DataFrame
        One line per k of the plain space, with inertia, silhouette and smallest_share.
    min_smallest_share : float
        Share of customers that the smallest segment must hold.

    Returns
    -------
    k, why
        Without an admissible candidate: the one of `CHOICE` whose smallest segment is largest,
        for the gate to refuse.
    """
    knee = elbow(candidates)
    open_to_choice = candidates[candidates["k"].isin(CHOICE)]
    large_enough = open_to_choice[open_to_choice["smallest_share"] >= min_smallest_share]
    if large_enough.empty:
        left = open_to_choice if len(open_to_choice) else candidates
        best = left.iloc[int(left["smallest_share"].to_numpy().argmax())]
        return int(best["k"]), (
            f"no k in {CHOICE.start} to {CHOICE.stop - 1} has a smallest segment of "
            f"{min_smallest_share:.0%} or more; this one comes nearest"
        )
    beyond = large_enough[large_enough["k"] >= knee]
    admissible = beyond if len(beyond) else large_enough
    best = admissible.iloc[int(admissible["silhouette"].to_numpy().argmax())]
    where = "at or above" if len(beyond) else "(each k above it has too small a segment) below"
    return int(best["k"]), (
        f"the best silhouette ({best['silhouette']:.3f}) {where} the elbow (k = {knee}) "
        f"with a smallest segment of {best['smallest_share']:.1%}"
    )


def elbow(candidates: pd.DataFrame) -> int:
    """The k at which the inertia curve bends most.

    The point farthest below the chord from the first to the last point, both axes scaled to
    0..1 (Satopaa et al. 2011, "Finding a 'Kneedle' in a haystack", section III).
    """
    curve = candidates.sort_values("k")
    k, inertia = curve["k"].to_numpy(float), curve["inertia"].to_numpy(float)
    if len(k) < 3 or inertia[0] == inertia[-1]:
        return int(k[0])
    along = (k - k[0]) / (k[-1] - k[0])
    height = (inertia - inertia[-1]) / (inertia[0] - inertia[-1])
    return int(k[np.argmax(1 - along - height)])
