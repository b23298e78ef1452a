"""Planted segments are recovered, numbered by size, and assigned by the model that is kept."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import Pipeline

from expectations.contract import Contract
from tasks import kmeans as kmeans_module
from tasks.clustering import cluster_customers, segment_ids
from tasks.drift import reference_of
from tasks.embedding import EmbeddingOptions, embed_customers, fit_space
from tasks.keeping import keep, load
from tasks.kmeans import by_falling_size, fit_kmeans
from tasks.outcome import Outcome
from tasks.scaling import ScalingOptions, scale_customers
from tasks.typicality import TypicalityOptions
from tests.planted import ID, planted_segments

SIZES = (30, 120, 70, 50, 90)
CONTRACT = Contract.model_validate(
    {
        "name": "planted",
        "id": {"column": ID},
        "columns": {
            "a": {"kind": "score", "max_null_share": 0.5},
            "b": {"kind": "money", "high": 1e12},
            "c": {"kind": "score"},
            "noise": {"kind": "score", "use": "describe"},
        },
    }
)


CURVE = pd.DataFrame({"gap": [0.0, 0.5, 1.0], "confidence": [0.5, 0.8, 1.0]})


def raw_customers(*sizes: int, spread: float = 0.6) -> tuple[pd.DataFrame, np.ndarray]:
    """Planted customers in the contract's units, a few of them with a gap."""
    planted, truth = planted_segments(*sizes, spread=spread)
    raw = planted.assign(b=np.exp(planted["b"] + 8), noise=40 + planted["noise"])
    on_the_medians_side = np.flatnonzero(raw["a"] < 0)
    raw.loc[on_the_medians_side[::25], "a"] = np.nan  # filled, they stay in their segment
    return raw, truth


def clustered(
    raw: pd.DataFrame,
    k: int,
    space: str = "none",
    seed: int = 0,
    width: int = 3,
    known: tuple[Any, ...] = (),
) -> Outcome:
    """The way of the data from clean rows to segments."""
    clean = raw.fillna({"a": raw["a"].median()})
    scaled, learned, _ = scale_customers(clean, CONTRACT, ScalingOptions(min_explained=-1))
    options = EmbeddingOptions(width=width)
    embedder = fit_space(space, scaled.drop(columns=ID).to_numpy(), options, 0)
    embedding = embed_customers(scaled, ID, embedder, space, options, seed).table
    scaler = learned["scaler.skops"]
    chosen = {"k": k, "space": space, "metrics": {"silhouette": 0.5, "inertia": -1.0}}
    parts = scaler, embedder, CURVE, chosen, TypicalityOptions(), seed, clean
    beside = (None, *known) if known else ()
    return cluster_customers(embedding, scaled, ID, *parts, *beside)


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    return raw_customers(*SIZES)[0]


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return raw_customers(*SIZES)[1]


@pytest.fixture(scope="module")
def made(raw: pd.DataFrame) -> Outcome:
    return clustered(raw, len(SIZES))


def space_before_kmeans(model: Pipeline, raw: pd.DataFrame) -> np.ndarray:
    return model[:-1].transform(raw)  # (n_customers, n_dimensions)


@pytest.mark.parametrize("space", ["none", "pca"])
def test_planted_segments_are_recovered(space: str, raw: pd.DataFrame, truth: np.ndarray) -> None:
    segment = clustered(raw, len(SIZES), space).table["segment"]
    assert adjusted_rand_score(truth, segment) == 1


def test_segments_are_numbered_by_falling_size(made: Outcome) -> None:
    counts = made.table["segment"].value_counts().sort_index()
    assert counts.index.tolist() == made.log["ids"] == ["S01", "S02", "S03", "S04", "S05"]
    assert counts.tolist() == sorted(SIZES, reverse=True)
    assert segment_ids(12)[-3:] == ["S10", "S11", "S12"]


@pytest.mark.parametrize("random_state", range(4))
def test_labels_centroids_and_predictions_are_renumbered_together(random_state: int) -> None:
    Z = planted_segments(*SIZES)[0].drop(columns=ID).to_numpy()
    kmeans = fit_kmeans(Z, 5, random_state, n_init=3)
    before = {name: np.copy(value) for name, value in vars(kmeans).items()}
    ordered = by_falling_size(kmeans, Z)
    assert np.bincount(ordered.labels_).tolist() == sorted(SIZES, reverse=True)
    assert adjusted_rand_score(ordered.labels_, kmeans.labels_) == 1
    np.testing.assert_array_equal(ordered.predict(Z), ordered.labels_)
    for label in range(5):
        np.testing.assert_allclose(
            ordered.cluster_centers_[label], Z[ordered.labels_ == label].mean(axis=0)
        )
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(kmeans, name), value, err_msg=name)


def test_segment_and_runner_up_are_the_two_nearest_centroids() -> None:
    raw, _ = raw_customers(*SIZES, spread=3)
    outcome = clustered(raw, 6)
    model, table = outcome.learned["model.skops"], outcome.table
    centroids = model["kmeans"].cluster_centers_
    nearest = cdist(space_before_kmeans(model, raw), centroids).argsort(axis=1)
    names = np.array(outcome.log["ids"])
    assert table["segment"].tolist() == names[nearest[:, 0]].tolist()
    assert table["runner_up"].tolist() == names[nearest[:, 1]].tolist()
    assert len(set(table["runner_up"])) > 2


def test_the_champions_columns_are_there_and_empty(made: Outcome) -> None:
    whose = ("", "champion_", "challenger_")
    what = ("segment", "confidence", "runner_up")
    assert list(made.table) == [ID, *(f"{who}{name}" for who in whose for name in what), "typical"]
    assert made.table.filter(like="champion_").isna().all(axis=None)
    assert made.table["confidence"].between(0.5, 1).all()
    for name in what:
        assert made.table[f"challenger_{name}"].equals(made.table[name])
    for name in ("segment", "runner_up"):
        assert {str(made.table[who + name].dtype) for who in whose} == {"str"}


@pytest.mark.parametrize("space", ["none", "pca"])
def test_the_kept_model_assigns_raw_rows_as_the_stage_does(space: str, tmp_path: Path) -> None:
    raw, _ = raw_customers(*SIZES, spread=3)
    outcome = clustered(raw, 5, space)
    keep(tmp_path / "model.skops", outcome.learned["model.skops"])
    model = load(tmp_path / "model.skops")
    assert [name for name, _ in model.steps] == ["impute", "transform", "scale", "embed", "kmeans"]
    names = np.array(outcome.log["ids"])
    assert raw["a"].isna().any()
    assert names[model.predict(raw)].tolist() == outcome.table["segment"].tolist()
    one_by_one = [model.predict(raw.iloc[[row]])[0] for row in range(40)]
    assert names[one_by_one].tolist() == outcome.table["segment"].tolist()[:40]


def test_the_order_of_rows_does_not_matter(made: Outcome, raw: pd.DataFrame) -> None:
    shuffled = clustered(raw.sample(frac=1, random_state=1), len(SIZES)).table
    assert shuffled[ID].tolist() != made.table[ID].tolist()
    pd.testing.assert_frame_equal(
        shuffled.sort_values(ID, ignore_index=True), made.table.sort_values(ID, ignore_index=True)
    )


def test_every_customer_keeps_the_own_segment_whatever_the_index() -> None:
    scaled, truth = planted_segments(40, 30)
    embedder = fit_space("none", scaled.drop(columns=ID).to_numpy(), EmbeddingOptions(), 0)
    odd = scaled.set_axis(scaled.index[::-1])
    chosen = {"k": 2, "space": "none", "metrics": {}}
    table = cluster_customers(
        odd, odd, ID, Pipeline([]), embedder, CURVE, chosen, TypicalityOptions(), 0, odd
    ).table
    assert table[ID].tolist() == scaled[ID].tolist()
    assert adjusted_rand_score(truth, table["segment"]) == 1


def test_another_unit_of_a_score_gives_the_same_segments(made: Outcome, raw: pd.DataFrame) -> None:
    other = clustered(raw.assign(a=raw["a"] * 1000 - 7, c=raw["c"] / 3), len(SIZES))
    pd.testing.assert_frame_equal(other.table, made.table)


def test_the_same_seed_gives_the_same_segments() -> None:
    raw, _ = raw_customers(*SIZES, spread=4)
    one, same = (clustered(raw, 7, seed=2).table for _ in range(2))
    pd.testing.assert_frame_equal(one, same)


def test_a_table_beyond_the_fit_is_fitted_on_a_sample_and_assigned_as_a_whole(
    raw: pd.DataFrame, truth: np.ndarray, made: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kmeans_module, "FIT_ROWS", 120)
    outcome = clustered(raw, len(SIZES))
    kmeans = outcome.learned["model.skops"]["kmeans"]
    assert len(kmeans.labels_) == 120
    assert adjusted_rand_score(truth, outcome.table["segment"]) == 1
    assert not np.array_equal(
        kmeans.cluster_centers_, made.learned["model.skops"]["kmeans"].cluster_centers_
    )
    Z = space_before_kmeans(outcome.learned["model.skops"], raw)
    over_all = (cdist(Z, kmeans.cluster_centers_).min(axis=1) ** 2).sum()
    metrics = outcome.log["metrics"]
    assert metrics["inertia"] == pytest.approx(over_all)
    assert metrics["inertia"] == pytest.approx(made.log["metrics"]["inertia"], rel=0.1)


def test_the_log_holds_json_values_and_no_customer(made: Outcome, raw: pd.DataFrame) -> None:
    told = json.dumps(made.log, allow_nan=False)
    assert not [customer for customer in raw[ID] if customer in told]
    assert made.log["metrics"]["smallest_share"] == min(SIZES) / sum(SIZES)
    assert made.log["metrics"]["silhouette"] == 0.5  # as the candidate was measured
    assert 0 < made.log["untypical_share"] < 0.05


def test_where_no_customer_is_shared_segments_keep_their_ids_by_what_they_are_like(
    raw: pd.DataFrame, made: Outcome
) -> None:
    known = made.table.set_index(ID)["segment"]
    before = raw.fillna({"a": raw["a"].median()})
    reference = reference_of(before, CONTRACT, known.loc[before[ID]].set_axis(before.index))
    renamed = dict(
        zip(sorted(reference["segments"]), ["S07", "S03", "S09", "S05", "S08"], strict=True)
    )
    reference["segments"] = {renamed[of]: line for of, line in reference["segments"].items()}
    strangers = raw.assign(**{ID: "X" + raw[ID]})
    previous = pd.DataFrame(
        {"customer_id": raw[ID], "segment_id": known.loc[raw[ID]].map(renamed).to_numpy()}
    )
    lineage = {"ids": [], "minted": 9, "whose": "challenger"}
    again = clustered(strangers, len(SIZES), known=(previous, lineage, reference, CONTRACT))
    assert again.log["born"] == []
    assert (again.table["segment"] == made.table["segment"].map(renamed)).all()
