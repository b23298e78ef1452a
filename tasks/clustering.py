"""K-means on the chosen space, and the pipeline that assigns a customer to a segment."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans

from tasks.kmeans import by_falling_size, inertia, published_kmeans
from tasks.model import Assigned, SegmentModel
from tasks.outcome import Outcome
from tasks.seeds import child_seed
from tasks.typicality import TypicalityOptions, fit_typicality

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

WHOSE = ("", "champion_", "challenger_")


def cluster_customers(
    embedding: pd.DataFrame,
    scaled: pd.DataFrame,
    id_column: str,
    scaler: "Pipeline",
    embedder: Any,
    curve: pd.DataFrame,
    chosen: Mapping[str, Any],
    typicality: TypicalityOptions,
    seed: int,
) -> Outcome:
    """Assign every customer to one of k segments, and say how sure that is.

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
    curve : DataFrame
        From distances to confidence, (n_bends, 2).
    chosen : mapping
        `k` and `space` of the chosen candidate, and its `metrics`.
    typicality : TypicalityOptions
        The judge of customers who fit nowhere.
    seed : int
        The run's seed.

    Returns
    -------
    Outcome
        `table` is the segments stage: segment, confidence and runner-up, and the same of
        champion and challenger; `learned` the model, one pipeline from a customer's columns
        to the segment's position; `log` the segment ids by position, the yardsticks, and the
        share of customers that fit nowhere.
    """
    Z = embedding.drop(columns=id_column).to_numpy()  # (n_customers, n_dimensions)
    X = scaled.drop(columns=id_column).to_numpy()  # (n_customers, n_features)
    fitted = published_kmeans(Z, chosen["k"], seed, chosen["space"])
    kmeans = by_falling_size(fitted, Z)
    judge = fit_typicality(X, typicality, child_seed(seed, "typicality"))
    model = assemble(scaler, embedder, kmeans).with_judgement(curve, judge)
    assigned = model.assign_at(Z)
    ids = segment_ids(kmeans.n_clusters)
    customers = embedding[[id_column]].reset_index(drop=True)
    table = pd.concat([customers, assignments(assigned, ids)], axis=1)
    sizes = np.bincount(assigned.segment, minlength=len(ids))
    metrics = dict(chosen["metrics"]) | {
        "inertia": inertia(kmeans, Z),
        "smallest_share": float(sizes.min() / len(Z)),
    }
    log = {"ids": ids, "metrics": metrics, "untypical_share": judge.untypical_share(X)}
    return Outcome(table, {"model.skops": model}, log)


def segment_ids(k: int) -> list[str]:
    """Ids while no store mints them: S01, S02 ... by falling size."""
    return [f"S{position:02d}" for position in range(1, k + 1)]


def assignments(assigned: Assigned, ids: list[str]) -> pd.DataFrame:
    """The segments stage without its ids, from positions and confidence.

    The proposed segment is the challenger's: without a store there is no champion yet, and
    what nothing is known about is null.
    """
    names = np.array(ids, dtype=object)
    nothing = np.full(len(assigned.segment), None, dtype=object)
    found = _assigned(names[assigned.segment], names[assigned.runner_up], assigned.confidence)
    unknown = _assigned(nothing, nothing, np.full(len(nothing), np.nan))
    known = {"": found, "champion_": unknown, "challenger_": found}
    return pd.DataFrame({w + name: known[w][name] for w in WHOSE for name in found})


def _assigned(segment: np.ndarray, runner_up: np.ndarray, confidence: np.ndarray) -> dict[str, Any]:
    return {
        "segment": pd.array(segment, dtype="str"),
        "confidence": confidence,
        "runner_up": pd.array(runner_up, dtype="str"),
    }


def assemble(scaler: "Pipeline", embedder: Any, kmeans: KMeans) -> SegmentModel:
    """One scikit-learn pipeline: impute, transform, scale, embed, K-means."""
    return SegmentModel([*scaler.steps, ("embed", embedder), ("kmeans", kmeans)])
