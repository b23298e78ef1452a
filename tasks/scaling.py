"""From money, counts and shares to comparable features."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field
from sklearn.base import BaseEstimator, TransformerMixin

from expectations.contract import Contract
from tasks.outcome import Outcome

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


class ScalingOptions(BaseModel):
    """How features are picked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_correlation: float = Field(
        default=0.85,
        gt=0,
        le=1,
        title="Duplicate columns",
        description="A column is left out whose correlation with a kept one reaches this, by ranks "
        "or (money and counts as log1p) by values.",
    )
    min_explained: float = Field(
        default=0.02,
        ge=-1,
        lt=1,
        title="Noise columns",
        description="A column of which the others explain less (adjusted R squared) is left out: "
        "noise only blurs distances. -1 keeps them all.",
    )


RIDGE = 1e-9
TRUSTED_TYPES = ("tasks.scaling.LogColumns",)


def signed_log(values: np.ndarray) -> np.ndarray:
    """log1p, mirrored below zero, so that a contract may allow negative amounts."""
    return np.sign(values) * np.log1p(np.abs(values))


class LogColumns(TransformerMixin, BaseEstimator):
    """Signed log1p of some columns of an array, the others as they are.

    Parameters
    ----------
    columns : list of int
        Positions of the columns to transform.
    """

    def __init__(self, columns: list[int]) -> None:
        self.columns = columns

    def fit(self, X: np.ndarray, y: None = None) -> "LogColumns":
        """Learn nothing but the width."""
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Transform X, (n_customers, n_features)."""
        logged = np.array(X, dtype=float)
        logged[:, self.columns] = signed_log(logged[:, self.columns])
        return logged


def scale_customers(
    clean: pd.DataFrame,
    contract: Contract,
    options: ScalingOptions,
    features: Sequence[str] = (),
) -> Outcome:
    """Pick the features, log1p by kind, and standardise.

    Parameters
    ----------
    clean : DataFrame
        One row per customer, no gaps in numbers.
    contract : Contract
        Names the columns that may become features, in order.
    options : ScalingOptions
        The thresholds of the two filters.
    features : sequence of str
        Those of the published model, which a challenger takes as they are; empty: picked here.

    Returns
    -------
    Outcome
        `table` has the id and the features (mean 0, sd 1); `learned` the fitted pipeline
        (impute, transform, scale) that takes a frame with the contract's columns; `log` the
        kept features and those left out, with why. Without a feature there is no pipeline.
    """
    if features:
        given = {"features": list(features), "dropped": []}
        return scaled_by(build_scaler(list(features), contract), clean, contract.id.column, given)
    logged = business_columns(clean, contract)[list(contract.features)]
    distinct, duplicates = prune_duplicates(logged, options.max_correlation)
    features, noise = prune_noise(logged[distinct], options.min_explained)
    log = {"features": features, "dropped": [*duplicates, *noise]}
    if not features:
        return Outcome(clean[[contract.id.column]].reset_index(drop=True), log=log)
    return scaled_by(build_scaler(features, contract), clean, contract.id.column, log)


def scaled_by(
    unfitted: "Pipeline", clean: pd.DataFrame, id_column: str, log: Mapping[str, Any]
) -> Outcome:
    """Fit a scaler on `clean`; the table has the id and the features that `log` names."""
    scaler = unfitted.fit(clean)
    X = scaler.transform(clean)  # (n_customers, n_features)
    ids = clean[[id_column]].reset_index(drop=True)
    scaled = pd.concat([ids, pd.DataFrame(X, columns=log["features"])], axis=1)
    return Outcome(scaled, {"scaler.skops": scaler}, log)


def business_columns(clean: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Every number of the contract, money and counts as log1p, (n_customers, n_numeric).

    What a segmentation should explain, whatever columns it was made from.
    """
    numbers = clean[list(contract.numeric)].astype(float)
    logged = [name for name in numbers if contract.columns[str(name)].is_logged]
    return numbers.assign(**{str(name): signed_log(numbers[name].to_numpy()) for name in logged})


def prune_duplicates(
    features: pd.DataFrame, max_correlation: float
) -> tuple[list[str], list[dict]]:
    """Leave out each column, (n_customers, n_features), that is too like an already kept one.

    By |Spearman| or |Pearson|, whichever is larger: ranks alone miss the near-copy of a column in
    which many values are equal. Columns are taken in order, so of two duplicates the one named
    first in the contract stays.
    """
    by_rank, by_value = (features.corr(how).abs() for how in ("spearman", "pearson"))
    correlation = by_rank.where(by_rank >= by_value, by_value)
    kept: list[str] = []
    dropped = []
    for name in features.columns:
        twins = correlation.loc[name, kept].to_numpy(float)
        twins = np.nan_to_num(twins)  # a constant column is like nothing
        if len(twins) and twins.max() >= max_correlation:
            twin, correlated = kept[int(twins.argmax())], round(float(twins.max()), 3)
            dropped.append({"column": name, "twin": twin, "correlation": correlated})
        else:
            kept.append(name)
    return kept, dropped


def prune_noise(features: pd.DataFrame, min_explained: float) -> tuple[list[str], list[dict]]:
    """Leave out each column, (n_customers, n_features), that the others do not explain at all."""
    explained = explained_by_others(features.to_numpy(float))
    is_noise = explained < min_explained
    kept = list(features.columns[~is_noise])
    dropped = [
        {"column": name, "explained": round(float(share), 3)}
        for name, share in zip(features.columns[is_noise], explained[is_noise], strict=True)
    ]
    return kept, dropped


def explained_by_others(X: np.ndarray) -> np.ndarray:
    """Adjusted R squared of each column regressed on the others, (n_features,).

    From the inverse of the correlation matrix (Marquardt 1970, variance inflation); the ridge
    lets columns that add up be explained wholly. A column that does not vary is explained by
    nothing, and so is one that stands alone.
    """
    n_customers, n_features = X.shape
    varies = X.std(axis=0) > 0
    if n_customers <= n_features:
        return np.ones(n_features)  # too few to tell noise from anything
    explained = np.zeros(n_features)
    if not varies.any():
        return explained
    correlation = np.atleast_2d(np.corrcoef(X[:, varies].T))
    inflation = np.diag(np.linalg.inv(correlation + RIDGE * np.eye(len(correlation))))
    left = (n_customers - 1) / (n_customers - len(correlation))
    explained[varies] = 1 - left / inflation
    return explained


def left_out_in_words(dropped: Sequence[Mapping[str, Any]]) -> str:
    """Which columns the filters left out, and why, as a sentence; empty where none."""
    if not dropped:
        return ""
    return f"Left out: {', '.join(map(_why, dropped))}."


def _why(one: Mapping[str, Any]) -> str:
    if "twin" in one:
        return f"{one['column']} (like {one['twin']}, correlation {one['correlation']:.2f})"
    explained = max(one["explained"], 0) or 0.0  # no "-0.0 %"
    return f"{one['column']} (noise: the others explain {explained:.1%} of it)"


def build_scaler(features: list[str], contract: Contract) -> "Pipeline":
    """The unfitted pipeline: pick and impute by median, log1p by kind, standardise."""
    logged = [i for i, name in enumerate(features) if contract.columns[name].is_logged]
    return scaler_of(features, logged, "median")


def scaler_of(features: list[str], logged: list[int], statistic: str) -> "Pipeline":
    """The unfitted pipeline: pick and impute by a statistic, log1p of some, standardise."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    picked = [("features", SimpleImputer(strategy=statistic), features)]
    return Pipeline(
        [
            ("impute", ColumnTransformer(picked, verbose_feature_names_out=False)),
            ("transform", LogColumns(logged)),
            ("scale", StandardScaler()),
        ]
    )
