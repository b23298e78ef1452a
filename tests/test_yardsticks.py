"""Yardsticks give what scikit-learn and SciPy give, in the space they promise."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import f_oneway
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from tasks.stability import Stability, compare
from tasks.yardsticks import (
    YARDSTICKS,
    Partition,
    Reference,
    agreement,
    distance_matrix,
    eta_squared,
    inertia_of,
    left_out_eta_squared,
    measure,
    silhouette,
)
from tests.planted import ID, planted_segments


def planted(*sizes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    scaled, truth = planted_segments(*sizes, seed=seed)
    return scaled.drop(columns=ID).to_numpy(), truth


def relabelled(labels: np.ndarray, gap: int) -> np.ndarray:
    return np.where(labels >= gap, labels + 1, labels)


RNG = np.random.default_rng(0)
PARTITIONS = {
    "planted": planted(300, 80, 20, 5),
    "by chance": (RNG.normal(size=(200, 6)), RNG.integers(0, 7, 200)),
    "with singletons": (RNG.normal(size=(50, 3)), np.r_[np.zeros(47, dtype=int), 1, 2, 3]),
    "in pairs": (RNG.normal(size=(20, 3)), np.repeat(np.arange(10), 2)),
    "with an empty number": (RNG.normal(size=(60, 2)), relabelled(RNG.integers(0, 4, 60), 2)),
    "of doubled rows": (np.repeat(RNG.normal(size=(9, 4)), 5, axis=0), np.repeat([0, 1, 2], 15)),
    "tight, wide of the origin": (100 + 0.01 * RNG.normal(size=(90, 5)), RNG.integers(0, 3, 90)),
}


@pytest.mark.parametrize("name", PARTITIONS)
def test_silhouettes_are_scikit_learns(name: str) -> None:
    X, labels = PARTITIONS[name]
    found = silhouette(distance_matrix(X), labels)
    tolerance = 1e-3 if "tight" in name else 1e-5  # float32 holds 100.00001 to 8e-6
    assert found == pytest.approx(silhouette_score(X, labels), abs=tolerance)


def test_a_silhouette_by_hand() -> None:
    """Four customers on a line: 0 and 1 in one segment, 4 and 6 in the other."""
    distances = distance_matrix(np.array([[0.0], [1], [4], [6]]))
    widths = [(5 - 1) / 5, (4 - 1) / 4, (3.5 - 2) / 3.5, (5.5 - 2) / 5.5]
    found = silhouette(distances, np.array([0, 0, 1, 1]))
    assert found == pytest.approx(np.mean(widths), abs=1e-6)


def test_one_segment_has_a_silhouette_of_0() -> None:
    assert silhouette(distance_matrix(RNG.normal(size=(5, 2))), np.zeros(5, dtype=int)) == 0


@pytest.mark.parametrize("shift", [0, 1000])
def test_distances_are_scipys_also_far_from_the_origin(shift: float) -> None:
    X = (RNG.normal(size=(150, 4)) + shift).astype(np.float32)
    found = distance_matrix(X)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, cdist(X.astype(float), X.astype(float)), atol=3e-6)
    np.testing.assert_array_equal(found, found.T)
    assert (np.diag(found) == 0).all()


def reference_of(X: np.ndarray, **settings: object) -> Reference:
    return Reference(X, columns=X, raw=X, seed=0, **settings)


def measured(X: np.ndarray, labels: np.ndarray, k: int, Z: np.ndarray, **settings: object) -> dict:
    return measure(reference_of(X, **settings), Partition(labels, k, Z))


def test_scores_are_those_of_the_reference_space_and_beside_them_those_of_the_own() -> None:
    X, truth = planted(100, 60, 40)
    Z = X[:, :1] ** 3
    found = measured(X, truth, 3, Z)
    scores = {
        "silhouette": silhouette_score,
        "davies_bouldin": davies_bouldin_score,
        "calinski_harabasz": calinski_harabasz_score,
    }
    for name, score in scores.items():
        assert found[name] == pytest.approx(score(X, truth), rel=1e-5)
        assert found[f"{name}_own"] == pytest.approx(score(Z, truth), rel=1e-5)
    assert abs(found["silhouette"] - found["silhouette_own"]) > 0.1
    assert found["smallest_share"] == 0.2
    means = np.array([Z[truth == segment].mean() for segment in range(3)])
    assert found["inertia"] == pytest.approx(np.square(Z[:, 0] - means[truth]).sum())


def test_a_candidate_of_the_reference_space_is_its_own_space() -> None:
    X, truth = planted(100, 60)
    found = measured(X, truth, 2, X.copy())
    for name in ("silhouette", "davies_bouldin", "calinski_harabasz"):
        assert found[name] == found[f"{name}_own"]


def test_a_rule_has_no_space_of_its_own_and_is_not_resampled() -> None:
    X, truth = planted(100, 60)
    found = measure(reference_of(X), Partition(truth, 2))
    unknown = {name for name, value in found.items() if np.isnan(value)}
    assert unknown == {
        "silhouette_own", "davies_bouldin_own", "calinski_harabasz_own",
        "bootstrap_ari", "worst_jaccard", "survival", "resamples",
    }  # fmt: skip
    assert found["inertia"] == pytest.approx(inertia_of(X, truth))


def test_an_empty_segment_is_the_smallest() -> None:
    X, truth = planted(50, 50)
    assert measured(X, truth, 3, X)["smallest_share"] == 0


def test_one_segment_has_no_score_of_separation() -> None:
    X, _ = planted(50, 50)
    found = measured(X, np.zeros(100, dtype=int), 1, X)
    assert np.isnan(found["davies_bouldin"])
    assert (found["silhouette"], found["eta_squared"]) == (0, pytest.approx(0))


def test_a_silhouette_on_a_sample_has_the_standard_error_that_samples_show() -> None:
    X, truth = planted(1500, 900, 600)
    X = X + np.random.default_rng(1).normal(0, 2, X.shape)
    whole = silhouette(distance_matrix(X), truth)
    found = []
    for seed in range(30):
        rows = np.random.default_rng(seed).choice(len(X), 300, replace=False)
        one = measured(X[rows], truth[rows], 3, X[rows], is_sample=True)
        found.append((one["silhouette"], one["silhouette_error"]))
    values, errors = np.transpose(found)
    assert np.std(values) == pytest.approx(errors.mean(), rel=0.4)
    assert np.mean(np.abs(values - whole) < 2 * errors) > 0.8
    assert measured(X, truth, 3, X)["silhouette_error"] == 0


def test_eta_squared_is_that_of_an_analysis_of_variance() -> None:
    X, truth = planted(60, 50, 40)
    columns = np.column_stack([X, np.ones(150)])
    found = eta_squared(columns, truth)
    for column, share in zip(X.T, found, strict=False):
        statistic = f_oneway(*(column[truth == segment] for segment in range(3))).statistic
        by_hand = statistic * 2 / (statistic * 2 + 150 - 3)  # of F with 2 and 147 degrees
        assert share == pytest.approx(by_hand)
    assert found[-1] == 0
    assert measured(X, truth, 3, X)["eta_squared"] == pytest.approx(found[:-1].mean())


def test_eta_squared_of_those_left_out_owes_nothing_to_them() -> None:
    X = RNG.normal(size=(400, 3))
    labels = RNG.integers(0, 2, 400)
    drawn = RNG.integers(0, 400, 400)
    told = Stability((compare(labels, labels, 2, drawn),), 1)
    left_out = np.setdiff1d(np.arange(400), drawn)
    found = left_out_eta_squared(reference_of(X), told)
    assert found == pytest.approx([eta_squared(X[left_out], labels[left_out]).mean()])


def test_partitions_agree_whatever_their_numbers() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    assert agreement(labels, np.array([2, 2, 2, 0, 0, 1])) == 1
    assert agreement(labels, np.array([0, 0, 1, 1, 1, 1])) == pytest.approx(4 / 6)
    assert agreement(labels, np.zeros(6, dtype=int)) == 0.5
    assert agreement(np.zeros(6, dtype=int), labels) == 0.5


def test_a_shallow_tree_tells_segments_that_a_cut_makes_and_not_those_of_chance() -> None:
    X, truth = planted(200, 150)
    assert measured(X, truth, 2, X)["tree_accuracy"] == 1
    assert measured(X, RNG.integers(0, 2, 350), 2, X)["tree_accuracy"] < 0.65


def test_every_yardstick_measures_names_its_heading_and_most_their_source() -> None:
    X, truth = planted(60, 50)
    partition = Partition(truth, 2, X, Stability((compare(truth, truth, 2, np.arange(110)),), 1))
    found = measure(reference_of(X), partition)
    assert list(found) == list(YARDSTICKS)
    assert all(np.isfinite(value) for value in found.values())
    assert all(isinstance(value, int | float) for value in found.values())
    assert len({one.heading for one in YARDSTICKS.values()}) == len(YARDSTICKS)
    without = {name for name, one in YARDSTICKS.items() if not one.source}
    assert all(name.endswith("_own") or name in ("smallest_share", "resamples") for name in without)
