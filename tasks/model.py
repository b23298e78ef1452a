"""The published model: one pipeline from a customer's columns to a segment, and how sure it is."""

from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from tasks.confidence import confidence_of, gaps_between

TRUSTED_TYPES = ("tasks.model.SegmentModel",)


class Assigned(NamedTuple):
    """Positions of segment and runner-up, (n_customers,), and the confidence in the first."""

    segment: np.ndarray
    runner_up: np.ndarray
    confidence: np.ndarray


class SegmentModel(Pipeline):
    """Impute, transform, scale, embed, K-means: a scikit-learn pipeline, already fitted.

    Beside its steps it keeps the curve from distances to confidence as two arrays, and the judge
    of customers who fit nowhere.

    Attributes
    ----------
    confidence_gaps_, confidence_ : ndarray, (n_bends,)
        The curve of `tasks.confidence.calibrate`.
    typicality_ : Typicality
        The judge, in the units of the scaled features.
    """

    @property
    def features(self) -> list[str]:
        """The columns that it reads, in order."""
        (_, _, columns), *_ = self[0].transformers_
        return list(columns)

    def with_judgement(self, curve: pd.DataFrame, typicality: Any) -> Self:
        """The same model with its curve and its judge."""
        self.confidence_gaps_, self.confidence_ = curve.to_numpy().T
        self.typicality_ = typicality
        return self

    def assign(self, customers: pd.DataFrame) -> Assigned:
        """Segment, runner-up and confidence of customers, given with the contract's columns."""
        return self.assign_at(self[:-1].transform(customers))

    def assign_at(self, Z: np.ndarray) -> Assigned:
        """The same of customers given by their coordinates, (n_customers, n_dimensions)."""
        kmeans = self[-1]
        labels = kmeans.predict(Z)
        distances = kmeans.transform(Z)  # (n_customers, k)
        is_own = np.arange(distances.shape[1]) == labels[:, None]
        curve = pd.DataFrame({"gap": self.confidence_gaps_, "confidence": self.confidence_})
        return Assigned(
            labels,
            np.where(is_own, np.inf, distances).argmin(axis=1),
            confidence_of(gaps_between(distances), curve),
        )

    def is_typical(self, customers: pd.DataFrame) -> np.ndarray:
        """Whether each customer is like others at all, (n_customers,) of bool."""
        return self.typicality_.predict(self[:3].transform(customers)) == 1
