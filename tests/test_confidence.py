"""Confidence is the share of refits that agree: rising with the gap, and right on average."""

import numpy as np
import pandas as pd
import pytest

from tasks.confidence import calibrate, confidence_of, gaps_between, gaps_of
from tasks.kmeans import published_kmeans
from tasks.stability import Resample, refitter, resample
from tests.planted import ID, planted_segments

RNG = np.random.default_rng(0)


def told(stayed: np.ndarray, left_out: np.ndarray) -> Resample:
    nothing = np.zeros(len(stayed))
    return Resample(1.0, nothing, stayed, left_out, nothing)


def planted_resamples(gaps: np.ndarray, n_resamples: int) -> tuple[Resample, ...]:
    """A refit agrees with probability 1 - exp(-gap) / 2, where it says anything."""
    chance = 1 - np.exp(-gaps) / 2
    return tuple(
        told(RNG.random(len(gaps)) < chance, RNG.random(len(gaps)) < 0.37)
        for _ in range(n_resamples)
    )


def test_a_planted_curve_is_found() -> None:
    gaps = RNG.exponential(1, 5000)
    curve = calibrate(gaps, planted_resamples(gaps, 20))
    at = np.linspace(0.05, 3, 30)
    np.testing.assert_allclose(confidence_of(at, curve), 1 - np.exp(-at) / 2, atol=0.04)


def test_the_curve_is_two_rising_arrays_of_which_one_is_a_probability() -> None:
    gaps = RNG.exponential(1, 800)
    curve = calibrate(gaps, planted_resamples(gaps, 10))
    assert list(curve) == ["gap", "confidence"]
    assert (np.diff(curve["gap"]) > 0).all()
    assert (np.diff(curve["confidence"]) >= 0).all()
    assert curve["confidence"].between(0, 1).all()
    assert len(curve) < 400
    beyond = confidence_of(np.array([-1.0, 1e9]), curve)
    assert beyond.tolist() == [curve["confidence"].iloc[0], curve["confidence"].iloc[-1]]


def test_only_customers_that_a_resample_left_out_speak() -> None:
    gaps = np.array([0.1, 0.2, 0.3, 0.4])
    drawn = told(np.zeros(4, dtype=bool), np.zeros(4, dtype=bool))
    left_out = told(np.array([False, True, True, True]), np.array([True, True, True, False]))
    curve = calibrate(gaps, (drawn, left_out))
    assert confidence_of(gaps, curve).tolist() == [0, 1, 1, 1]
    again = calibrate(gaps, (left_out, drawn, drawn))
    pd.testing.assert_frame_equal(curve, again)


def test_the_gap_is_between_the_two_nearest_centroids() -> None:
    distances = np.array([[3.0, 1, 2], [5, 5, 9], [4, 0, 7]])
    assert gaps_between(distances).tolist() == [1, 0, 4]
    assert gaps_between(distances[:, :1]).tolist() == [0, 0, 0]
    Z = np.array([[0.0], [2], [10], [12]])
    assert gaps_of(Z, np.array([0, 0, 1, 1])) == pytest.approx([10 - 0, 8, 8, 10])


def calibration_error(confidence: np.ndarray, agreed: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over bins of as many outcomes each."""
    parts = np.array_split(np.argsort(confidence, kind="stable"), bins)
    gaps = [abs(confidence[part].mean() - agreed[part].mean()) * len(part) for part in parts]
    return sum(gaps) / len(agreed)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_calibrated_on_fresh_resamples_and_tells_more_than_the_mean(seed: int) -> None:
    from tasks.embedding import EmbeddingOptions

    scaled, _ = planted_segments(500, 400, 300, spread=1.6, seed=seed)
    X = scaled.drop(columns=ID).to_numpy()
    kmeans = published_kmeans(X, 3, seed, "none")
    labels, refit = kmeans.predict(X), refitter(X, "none", 3, EmbeddingOptions(), seed)
    curve = calibrate(
        gaps_between(kmeans.transform(X)), resample(refit, labels, 3, seed, range(40))
    )
    fresh = resample(refit, labels, 3, seed, range(100, 120))
    said = np.tile(confidence_of(gaps_between(kmeans.transform(X)), curve), len(fresh))
    left_out = np.concatenate([one.left_out for one in fresh])
    said, agreed = said[left_out], np.concatenate([one.stayed for one in fresh])[left_out]
    assert calibration_error(said, agreed) < 0.02
    assert np.square(said - agreed).mean() < 0.9 * agreed.var()
