"""How sure a customer's segment is: would a refit on other customers agree?

The share of resamples that keep a customer's segment, regressed on how much nearer its own
centroid is than the next (Niculescu-Mizil and Caruana 2005, "Predicting good probabilities with
supervised learning", ICML, section 2.2). One curve for all segments: a curve per segment or per
pair adds nothing.
"""

import numpy as np
import pandas as pd
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics.pairwise import euclidean_distances

from tasks.stability import Resample

GAP, CONFIDENCE = "gap", "confidence"


def calibrate(gaps: np.ndarray, resamples: tuple[Resample, ...]) -> pd.DataFrame:
    """Fit the curve from gaps, (n_customers,), to the probability that a refit agrees.

    Only resamples that left a customer out speak about it.

    Returns
    -------
    DataFrame
        `gap` rising and `confidence`, a line per bend of the curve: what is kept with a model.
    """
    left_out = np.array([one.left_out for one in resamples])  # (n_resamples, n_customers)
    stayed = np.array([one.stayed for one in resamples]) & left_out
    times = left_out.sum(axis=0)
    asked = times > 0
    share = stayed.sum(axis=0)[asked] / times[asked]
    curve = IsotonicRegression(y_min=0, y_max=1).fit(gaps[asked], share, times[asked])
    return pd.DataFrame({GAP: curve.X_thresholds_, CONFIDENCE: curve.y_thresholds_})


def confidence_of(gaps: np.ndarray, curve: pd.DataFrame) -> np.ndarray:
    """The probability that a refit on other customers agrees, (n_customers,)."""
    return np.interp(gaps, curve[GAP], curve[CONFIDENCE])


def gaps_between(distances: np.ndarray) -> np.ndarray:
    """Distance to the second nearest centroid less that to the nearest, (n_customers,).

    `distances` is (n_customers, k); where k is 1 there is no second, and no gap.
    """
    if distances.shape[1] == 1:
        return np.zeros(len(distances))
    nearest = np.partition(distances, 1, axis=1)
    return nearest[:, 1] - nearest[:, 0]


def gaps_of(Z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The gaps of a partition of Z, (n_customers, n_dimensions), about its segments' means."""
    means = np.array([Z[labels == segment].mean(axis=0) for segment in np.unique(labels)])
    return gaps_between(euclidean_distances(Z, means))
