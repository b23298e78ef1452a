"""Resamples find planted segments again, lose what is none, and owe nothing to the fit on all."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from tasks import kmeans as kmeans_module
from tasks.audit import Audit, permuted
from tasks.embedding import SPACES, EmbeddingOptions
from tasks.kmeans import fit_kmeans, published_kmeans
from tasks.stability import Stability, compare, refitter, resample
from tasks.yardsticks import Reference
from tests.planted import ID, planted_segments, unstructured

OPTIONS = EmbeddingOptions(width=3, networks=1, epochs=2)
SIZES = (90, 85, 80, 75, 70, 65, 60, 55)


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray]:
    scaled, truth = planted_segments(*SIZES)
    X = scaled[[*"abc"]].to_numpy()
    return (X - X.mean(axis=0)) / X.std(axis=0), truth


def resampled(X: np.ndarray, k: int, space: str = "none", **settings: Any) -> Stability:
    labels = published_kmeans(X, k, 0, space).predict(X)
    refit = refitter(X, space, k, OPTIONS, 0)
    return Stability(resample(refit, labels, k, 0, range(12), **settings), 12)


@pytest.mark.parametrize("space", SPACES)
def test_planted_segments_are_found_again_in_every_space(
    space: str, planted: tuple[np.ndarray, np.ndarray]
) -> None:
    X, truth = planted
    labels = published_kmeans(X, 8, 0, space).predict(X)
    assert adjusted_rand_score(truth, labels) == 1
    found = resampled(X, 8, space)
    assert found.ari > 0.99
    assert found.survival == 1
    assert found.jaccards.shape == (12, 8)
    assert found.jaccards.min() > 0.9


def test_a_segment_too_many_is_not_found_again(planted: tuple[np.ndarray, np.ndarray]) -> None:
    assert resampled(planted[0], 9).survival < 0.9


@pytest.mark.parametrize("kind", ["permuted", "uniform", "normal"])
def test_the_audit_cannot_flatter(kind: str) -> None:
    """The same function that finds planted segments again finds none in noise."""
    X = unstructured(kind, seed=0, rows=600).drop(columns=ID).to_numpy()
    for k in (3, 5, 7):
        assert resampled(X, k).survival < 0.9


def test_permuted_columns_keep_their_values_and_lose_their_customers() -> None:
    X = unstructured("normal", seed=0, rows=200).drop(columns=ID).to_numpy(copy=True)
    X[:, 1] = X[:, 0]
    null = permuted(X, 3)
    np.testing.assert_array_equal(np.sort(null, axis=0), np.sort(X, axis=0))
    assert abs(np.corrcoef(null[:, 0], null[:, 1])[0, 1]) < 0.3


def test_no_resample_starts_from_the_fit_on_all_or_shares_its_seed(
    planted: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, _ = planted
    starts: list[dict[str, Any]] = []

    class Watched(KMeans):
        def __init__(self, **given: Any) -> None:
            starts.append(given)
            super().__init__(**given)

    monkeypatch.setattr(kmeans_module, "KMeans", Watched)
    reference = Reference(X, X, X, 0)
    audit = Audit(reference, X, OPTIONS, 0)
    audit.curve([3, 4], {3: None, 4: None}, 10, lambda one: one)
    audit.space("pca", 4, 6)
    on_all = [one for one in starts if one["n_init"] == 20]
    refits = [one for one in starts if one["n_init"] == 10]
    assert (len(on_all), len(refits)) == (3, 2 * 10 + 6)
    assert all(set(one) == {"n_clusters", "n_init", "random_state"} for one in starts)  # no init
    seeds = [one["random_state"] for one in starts]
    assert len(set(seeds)) == len(seeds)


def test_every_candidate_is_asked_on_the_same_customers() -> None:
    drawn: list[list[int]] = []

    def watched(rows: np.ndarray, number: int) -> np.ndarray:
        drawn.append(rows.tolist())
        return np.arange(30) % 2

    for k in (2, 3):
        resample(watched, np.arange(30) % k, k, 5, range(4))
    assert drawn[:4] == drawn[4:]
    assert len({tuple(one) for one in drawn}) == 4
    assert [resample(watched, np.arange(30) % 2, 2, 6, range(4)), drawn[8:12] != drawn[:4]][1]


@pytest.mark.parametrize("space", SPACES)
def test_a_refit_knows_only_the_customers_it_has_drawn(space: str) -> None:
    """The others may be anything: nothing of scaler, space and centroids comes from them."""
    X = unstructured("normal", seed=1, rows=300).drop(columns=ID).to_numpy()
    drawn = np.random.default_rng(2).integers(0, 300, 300)
    left_out = np.setdiff1d(np.arange(300), drawn)
    others = X.copy()
    others[left_out] = 50 * others[left_out] + 1000
    labels, again = (refitter(Y, space, 5, OPTIONS, 0)(drawn, 0) for Y in (X, others))
    np.testing.assert_array_equal(labels[drawn], again[drawn])
    assert (labels[left_out] != again[left_out]).any()


def test_a_comparison_by_hand() -> None:
    """Segments {0 1 2 3} and {4 5} are met as {0 1 2} and {3 4 5}: 3 of 4 and 2 of 3."""
    labels, again = np.array([0, 0, 0, 0, 1, 1]), np.array([1, 1, 1, 0, 0, 0])
    found = compare(labels, again, 2, drawn=np.array([0, 0, 1, 4, 4, 5]))
    assert found.jaccard.tolist() == [pytest.approx(3 / 4), pytest.approx(2 / 3)]
    assert found.stayed.tolist() == [True, True, True, False, True, True]
    assert found.left_out.tolist() == [False, False, True, True, False, False]
    assert found.ari == pytest.approx(adjusted_rand_score(labels, again))


def test_two_segments_may_have_the_same_best_match_but_stay_in_one_each() -> None:
    labels, again = np.array([0, 0, 1, 1, 1]), np.zeros(5, dtype=int)
    found = compare(labels, again, 2, drawn=np.arange(5))
    assert found.jaccard.tolist() == [2 / 5, 3 / 5]
    assert found.stayed.tolist() == [False, False, True, True, True]


def never(rows: np.ndarray, number: int) -> np.ndarray:
    return np.zeros(40, dtype=int)


def in_odd_ones(rows: np.ndarray, number: int) -> np.ndarray:
    return np.arange(40) % 2 if number % 2 else np.zeros(40, dtype=int)


@pytest.mark.parametrize(
    ("refit", "may_fail", "resamples", "survival"),
    [(never, 4, 5, 0), (never, 0, 1, 0), (in_odd_ones, 4, 9, 4 / 9), (never, None, 20, 0)],
)
def test_it_ends_once_a_segment_was_missed_too_often(
    refit: Callable, may_fail: int | None, resamples: int, survival: float
) -> None:
    told = resample(refit, np.arange(40) % 2, 2, 0, range(20), may_fail)
    found = Stability(told, 20)
    assert len(found.resamples) == resamples
    assert found.survival == survival
    assert found.stopped is (resamples < 20)


def test_a_customer_drawn_twice_weighs_twice(planted: tuple[np.ndarray, np.ndarray]) -> None:
    X, _ = planted
    drawn = np.random.default_rng(0).integers(0, len(X), len(X))
    rows, times = np.unique(drawn, return_counts=True)
    doubled, weighted = (
        fit_kmeans(Z, 8, 3, 10, weights=weights)
        for Z, weights in ((X[drawn], None), (X[rows], times))
    )
    assert weighted.inertia_ == pytest.approx(doubled.inertia_)
    centres = [one.cluster_centers_[one.cluster_centers_[:, 0].argsort()] for one in
               (doubled, weighted)]  # fmt: skip
    assert np.sort(centres[0], axis=0) == pytest.approx(np.sort(centres[1], axis=0))


def test_the_units_of_a_feature_do_not_count(planted: tuple[np.ndarray, np.ndarray]) -> None:
    """Each refit standardises for itself, on the customers it has drawn."""
    X, _ = planted
    refit, other = (refitter(Y, "none", 8, OPTIONS, 0) for Y in (X, X * [1, 10, 100] + 7))
    drawn = np.random.default_rng(1).integers(0, len(X), len(X))
    assert adjusted_rand_score(refit(drawn, 0), other(drawn, 0)) == 1


def test_the_first_resamples_are_a_stability_of_their_own(
    planted: tuple[np.ndarray, np.ndarray],
) -> None:
    found = resampled(planted[0], 9)
    first = found.first(6)
    assert first.resamples == found.resamples[:6]
    assert (first.asked, first.stopped) == (6, False)
    assert found.first(40).asked == 12


def test_a_handful_of_customers_can_be_resampled() -> None:
    X = np.array([[0.0, 0], [0, 1], [9, 9], [9, 8]])
    found = Stability(
        resample(refitter(X, "none", 3, OPTIONS, 0), np.array([0, 0, 1, 2]), 3, 0, range(20)), 20
    )
    assert 0 <= found.survival < 0.9
