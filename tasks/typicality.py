"""Rows that fit nowhere, though every column keeps its bounds.

A judge has ``fit(X, on_epoch=None)`` and ``oddness(X)``: a number per row, from 0 up, that rests
on that row alone. It is named in ``JUDGES``, in ``TypicalityOptions.judge`` and, to be stored, in
``TRUSTED_TYPES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from types import MappingProxyType
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.decomposition import PCA
from sklearn.neighbors import KDTree
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state, check_scalar, gen_batches, resample
from sklearn.utils.validation import check_is_fitted, validate_data

from tasks.autoencoder import TRUSTED_TYPES as NETWORK_TYPES
from tasks.autoencoder import OnEpoch
from tasks.embedding import EmbeddingOptions, fit_space

FIT_ROWS = 20_000  # the threshold rests on 400 untypical rows then
ROWS_AT_ONCE = 8192
LEAST_SPREAD = 0.01  # in standard deviations of a feature
ROUNDING = 1e-6  # in such units too: a row on the threshold is typical

TRUSTED_TYPES = (  # what skops.io.loads must be told to trust
    *NETWORK_TYPES,
    "tasks.typicality.NeighbourDistance",
    "tasks.typicality.RebuildError",
    "tasks.typicality.Typicality",
)


class TypicalityOptions(BaseModel):
    """Who judges which rows fit nowhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Typicality")

    judge: Literal["neighbours", "autoencoder"] = Field(
        default="neighbours",
        title="Judge",
        description="What makes a row untypical: that no customers are near it (neighbours), or "
        "that a neural network cannot rebuild it (autoencoder).",
    )
    neighbours: int = Field(
        default=10,
        ge=1,
        le=100,
        title="Neighbours",
        description="Customers whose mean distance is taken; fewer if there are fewer.",
    )
    points: int = Field(
        default=2000,
        ge=2,
        le=20_000,
        title="Points",
        description="Customers kept with the model, without ids, to measure distances to.",
    )
    typical_share: float = Field(
        default=0.98,
        gt=0,
        lt=1,
        title="Typical share",
        description="Share of the fitted month's customers that counts as typical.",
    )


class NeighbourDistance(BaseEstimator):
    """Mean distance to the nearest reference points, in whitened principal components.

    All components count: those of least variance are the rules that customers keep. In a
    direction in which the fitted month hardly varies a row is measured by ``LEAST_SPREAD``: what
    leaves a constant stands out, and rounding does not.

    The nearest point of all is left out. It may be the customer itself, in the fitted month or in
    a month after it, and nobody is typical for being near oneself. Customers never seen are judged
    a little harder for it: 2.5 to 3 % of them fit nowhere where 2 % of the fitted month do.

    ``points`` are kept at most, drawn by ``random_state``, and ``neighbours`` of them taken.
    """

    def __init__(self, neighbours: int, points: int, random_state: int) -> None:
        self.neighbours = neighbours
        self.points = points
        self.random_state = random_state

    def fit(self, X: np.ndarray, *, on_epoch: OnEpoch | None = None) -> Self:
        """Learn the components of X, and keep points of it; there are no epochs to tell."""
        self.scaler_ = StandardScaler().fit(X)
        self.pca_ = PCA(svd_solver="full").fit(self.scaler_.transform(X))
        self.spread_ = np.maximum(np.sqrt(self.pca_.explained_variance_), LEAST_SPREAD)
        self.points_ = self._whitened(draw(X, self.points, self.random_state))
        return self

    def oddness(self, X: np.ndarray) -> np.ndarray:
        """Return the mean distance, shape (n_customers,)."""
        nearest = min(self.neighbours + 1, len(self.points_))
        # A tree, since the faster products of matrices lose half the digits of a small distance.
        distances, _ = KDTree(self.points_).query(self._whitened(X), nearest)
        return distances[:, 1:].mean(axis=1)

    def _whitened(self, X: np.ndarray) -> np.ndarray:
        return self.pca_.transform(self.scaler_.transform(X)) / self.spread_


class RebuildError(BaseEstimator):
    """What autoencoders lose of a row: root mean square over features, standardised.

    ``epochs`` passes over the customers at most; ``random_state`` is that of the training.
    """

    def __init__(self, epochs: int, random_state: int) -> None:
        self.epochs = epochs
        self.random_state = random_state

    def fit(self, X: np.ndarray, *, on_epoch: OnEpoch | None = None) -> Self:
        """Train three networks, of width 6 or as narrow as half the features."""
        width = min(6, (X.shape[1] + 1) // 2)  # as wide as the table, they would rebuild anything
        options = EmbeddingOptions(width=width, networks=3, epochs=self.epochs)
        self.networks_ = fit_space("autoencoder", X, options, self.random_state, on_epoch)
        return self

    def oddness(self, X: np.ndarray) -> np.ndarray:
        """Return the error, shape (n_customers,)."""
        lost = (self.networks_.transform(X) - X) / self.networks_.scale_
        return np.sqrt(np.mean(np.square(lost), axis=1))


class Typicality(OutlierMixin, BaseEstimator):
    """Tell rows that fit nowhere, by scikit-learn's conventions for outliers.

    Parameters
    ----------
    judge
        A name in ``JUDGES``.
    neighbours, points
        Of the judge "neighbours": points taken and kept.
    typical_share
        Share of the fitted rows that is typical.
    epochs
        Of the judge "autoencoder".
    random_state
        Draws the rows and points used, and trains the networks.

    Attributes
    ----------
    judge_
        The fitted judge.
    offset_
        The score below which a row is untypical.
    """

    def __init__(
        self,
        judge: str = "neighbours",
        neighbours: int = 10,
        points: int = 2000,
        typical_share: float = 0.98,
        epochs: int = 40,
        random_state: int | None = 0,
    ) -> None:
        self.judge = judge
        self.neighbours = neighbours
        self.points = points
        self.typical_share = typical_share
        self.epochs = epochs
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None, *, on_epoch: OnEpoch | None = None) -> Self:
        """Learn from X, shape (n_customers, n_features), or from ``FIT_ROWS`` rows of it.

        ``on_epoch(epoch, training_loss, validation_loss)`` is called while a network is trained.
        """
        self._check_parameters()
        month = validate_data(self, X, dtype=np.float64, ensure_min_samples=3)
        seed = check_random_state(self.random_state).randint(2**31)
        month = draw(month, FIT_ROWS, seed)
        month = month[np.lexsort(month.T)]  # from here on nothing depends on the rows' order
        with np.errstate(invalid="ignore"):  # PCA divides by the variance of a constant table
            self.judge_ = JUDGES[self.judge](self, seed).fit(month, on_epoch=on_epoch)
        scores = -self._oddness(month)
        self.offset_ = np.quantile(scores, 1 - self.typical_share, method="lower") - ROUNDING
        return self

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """Return how typical each row is: 0 at best, the lower the odder."""
        check_is_fitted(self)
        return -self._oddness(validate_data(self, X, dtype=np.float64, reset=False))

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the scores with the threshold at 0."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return 1 for a typical row and -1 for one that fits nowhere."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def untypical_share(self, X: ArrayLike) -> float:
        """Return the share of rows that fit nowhere."""
        return float(np.mean(self.predict(X) == -1))

    def _oddness(self, X: np.ndarray) -> np.ndarray:
        blocks = gen_batches(len(X), ROWS_AT_ONCE)
        return np.concatenate([self.judge_.oddness(X[rows]) for rows in blocks])

    def _check_parameters(self) -> None:
        if self.judge not in JUDGES:
            names = ", ".join(JUDGES)
            raise ValueError(f"No judge is called {self.judge!r}. Choose one of: {names}.")
        check_scalar(self.neighbours, "neighbours", Integral, min_val=1)
        check_scalar(self.points, "points", Integral, min_val=2)
        check_scalar(self.epochs, "epochs", Integral, min_val=1)
        share = {"min_val": 0, "max_val": 1, "include_boundaries": "neither"}
        check_scalar(self.typical_share, "typical_share", Real, **share)


JUDGES: Mapping[str, Callable[[Typicality, int], NeighbourDistance | RebuildError]] = (
    MappingProxyType(
        {
            "neighbours": lambda of, seed: NeighbourDistance(of.neighbours, of.points, seed),
            "autoencoder": lambda of, seed: RebuildError(of.epochs, seed),
        }
    )
)


def fit_typicality(
    X: ArrayLike,
    options: TypicalityOptions,
    random_state: int,
    on_epoch: OnEpoch | None = None,
) -> Typicality:
    """Fit a judge on a month's scaled features, shape (n_customers, n_features)."""
    unfitted = Typicality(**options.model_dump(), random_state=random_state)
    return unfitted.fit(X, on_epoch=on_epoch)


def draw(X: np.ndarray, n_rows: int, random_state: int) -> np.ndarray:
    """Return at most so many rows of X, each once."""
    n_rows = min(n_rows, len(X))
    return resample(X, replace=False, n_samples=n_rows, random_state=random_state)
