"""Yardsticks give what scikit-learn and SciPy give, in the space they promise."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from tasks.yardsticks import Yardsticks, distance_matrix, silhouette
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


def test_scores_are_those_of_the_reference_space_whatever_space_a_candidate_was_made_in() -> None:
    X, truth = planted(100, 60, 40)
    Z = X[:, :1] ** 3
    found = Yardsticks(X, 1000, seed=0).measure(truth, 3, Z)
    assert found["davies_bouldin"] == pytest.approx(davies_bouldin_score(X, truth))
    assert found["calinski_harabasz"] == pytest.approx(calinski_harabasz_score(X, truth))
    assert found["silhouette"] == pytest.approx(silhouette_score(X, truth), abs=1e-5)
    assert found["silhouette_own"] == pytest.approx(silhouette_score(Z, truth), abs=1e-5)
    assert abs(found["silhouette"] - found["silhouette_own"]) > 0.1
    assert found["smallest_share"] == 0.2
    assert all(type(value) is float for value in found.values())


def test_a_candidate_of_the_reference_space_is_its_own_space() -> None:
    X, truth = planted(100, 60)
    found = Yardsticks(X, 1000, seed=0).measure(truth, 2, X.copy())
    assert found["silhouette"] == found["silhouette_own"]


def test_an_empty_segment_is_the_smallest() -> None:
    X, truth = planted(50, 50)
    assert Yardsticks(X, 1000, seed=0).measure(truth, 3, X)["smallest_share"] == 0


def test_many_customers_are_measured_on_a_sample_and_scored_as_a_whole() -> None:
    X, truth = planted(1500, 900, 600)
    Z = X[:, :2]
    full, sampled = (Yardsticks(X, rows, seed=3) for rows in (3000, 400))
    assert len(full.sample) == 3000
    assert len(set(sampled.sample)) == 400
    assert sampled.distances.shape == (400, 400)
    whole, part = (one.measure(truth, 3, Z) for one in (full, sampled))
    for name in ("davies_bouldin", "calinski_harabasz", "smallest_share"):
        assert part[name] == whole[name]
    for name, space in (("silhouette", X), ("silhouette_own", Z)):
        rows = sampled.sample
        assert part[name] == pytest.approx(silhouette_score(space[rows], truth[rows]), abs=1e-5)
        assert part[name] == pytest.approx(whole[name], abs=0.03)


def test_the_seed_draws_the_sample() -> None:
    X, _ = planted(300, 300)
    one, same, other = (Yardsticks(X, 100, seed).sample for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert set(one) != set(other)
