"""The spaces in which customers may be clustered, simplest first.

A space is a function of options and seed that gives an unfitted scikit-learn transformer of
scaled features; adding one means adding it to ``SPACES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field
from sklearn.base import TransformerMixin
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.validation import has_fit_parameter

from tasks.autoencoder import TRUSTED_TYPES, Autoencoder, OnEpoch, rebuild_error
from tasks.outcome import Outcome
from tasks.seeds import child_seed

__all__ = [
    "SPACES",
    "TRUSTED_TYPES",
    "Autoencoder",
    "EmbeddingOptions",
    "ReconstructionErrors",
    "embed",
    "embed_customers",
    "fit_space",
    "reconstruction_errors",
]

HELD_OUT_SHARE = 0.1


class EmbeddingOptions(BaseModel):
    """In which space customers are clustered."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Embedding")

    embedding: Literal["auto", "none", "pca", "autoencoder"] = Field(
        default="auto",
        title="Space",
        description="Where customers are clustered: the scaled features as they are (none), "
        "their principal components (pca), or the customers as a neural network rebuilds them "
        "(autoencoder). auto compares them, and leaves plain scaling only for a clear gain.",
    )
    width: int = Field(
        default=6,
        ge=1,
        le=64,
        title="Width",
        description="Numbers that stand for one customer in pca and autoencoder; "
        "never more than there are features.",
    )
    networks: int = Field(
        default=3,
        ge=1,
        le=10,
        title="Networks",
        description="Autoencoders trained side by side; a customer is their mean. "
        "While spaces are compared it is one each.",
    )
    epochs: int = Field(
        default=40,
        ge=1,
        le=1000,
        title="Epochs",
        description="Passes over the customers when an autoencoder is trained; "
        "it stops earlier when it no longer improves on customers held out.",
    )


class ReconstructionErrors(NamedTuple):
    """Mean squared error on held-out rows, in units of their features' standard deviations."""

    chosen: float
    pca: float


Space = Callable[[EmbeddingOptions, int], TransformerMixin]


def features_as_they_are(options: EmbeddingOptions, random_state: int) -> FunctionTransformer:
    """Leave the scaled features alone."""
    return FunctionTransformer(feature_names_out="one-to-one")


def principal_components(options: EmbeddingOptions, random_state: int) -> PCA:
    """Take the scores on the first principal components as coordinates."""
    return PCA(n_components=options.width, svd_solver="full")


def rebuilt_by_networks(options: EmbeddingOptions, random_state: int) -> Autoencoder:
    """Take the customers as autoencoders rebuild them."""
    return Autoencoder(
        width=options.width,
        n_networks=options.networks,
        epochs=options.epochs,
        validation_share=HELD_OUT_SHARE,
        random_state=random_state,
    )


SPACES: Mapping[str, Space] = MappingProxyType(
    {
        "none": features_as_they_are,
        "pca": principal_components,
        "autoencoder": rebuilt_by_networks,
    }
)


def fit_space(
    name: str,
    X: ArrayLike,
    options: EmbeddingOptions,
    random_state: int,
    on_epoch: OnEpoch | None = None,
) -> TransformerMixin:
    """Fit the space called ``name`` on scaled features, shape (n_customers, n_features).

    The width is at most what the table can bear. ``on_epoch(epoch, training_loss,
    validation_loss)`` is called while a network is trained.

    Raises
    ------
    ValueError
        If no space has that name; "auto" has to be settled by a comparison first.
    """
    if name not in SPACES:
        raise ValueError(f"No space is called {name!r}. Choose one of: {', '.join(SPACES)}.")
    bearable = options.model_copy(update={"width": min(options.width, *np.shape(X))})
    transformer = SPACES[name](bearable, random_state)
    told = {"on_epoch": on_epoch} if has_fit_parameter(transformer, "on_epoch") else {}
    return transformer.fit(X, **told)


def embed(transformer: TransformerMixin, X: ArrayLike) -> np.ndarray:
    """Return the coordinates of X in a fitted space, shape (n_customers, n_coordinates)."""
    return np.asarray(transformer.transform(X), dtype=np.float64)


def reconstruction_errors(
    name: str,
    transformer: TransformerMixin,
    X: ArrayLike,
    options: EmbeddingOptions,
    random_state: int,
) -> ReconstructionErrors:
    """Measure what a space loses of customers it was not fitted on, beside PCA of that width.

    ``transformer`` is what ``fit_space`` gave for the same arguments. A network brings its own
    figures; any other space is fitted again without the held-out rows, the same rows for every
    space under one seed. "none" loses nothing: 0.
    """
    if hasattr(transformer, "reconstruction_error_"):
        return ReconstructionErrors(transformer.reconstruction_error_, transformer.pca_error_)
    training, held_out = train_test_split(
        np.asarray(X, dtype=np.float64), test_size=HELD_OUT_SHARE, random_state=random_state
    )
    scaler = StandardScaler().fit(training)
    training, held_out = scaler.transform(training), scaler.transform(held_out)
    chosen, pca = (
        rebuild_error(fit_space(space, training, options, random_state), held_out)
        for space in (name, "pca")
    )
    return ReconstructionErrors(chosen, pca)


def embed_customers(
    scaled: pd.DataFrame,
    id_column: str,
    transformer: TransformerMixin,
    space: str,
    options: EmbeddingOptions,
    seed: int,
) -> Outcome:
    """Put every customer into the chosen space.

    Parameters
    ----------
    scaled : DataFrame
        The id and the features, (n_customers, 1 + n_features).
    id_column : str
        Name of the id.
    transformer : transformer
        The space, fitted by `fit_space`.
    space : str
        Its name in `SPACES`.
    options : EmbeddingOptions
        Those of the fit.
    seed : int
        The run's seed: the customers held out are the same for every space.

    Returns
    -------
    Outcome
        `table` has the id and the coordinates; `learned` the training curve of a network;
        `log` the dimensions' names and the held-out reconstruction errors.
    """
    features = scaled.drop(columns=id_column)
    Z = embed(transformer, features.to_numpy())  # (n_customers, n_dimensions)
    dimensions = list(map(str, transformer.get_feature_names_out(features.columns)))
    table = pd.concat([scaled[[id_column]], pd.DataFrame(Z, columns=dimensions)], axis=1)
    log: dict[str, object] = {"dimensions": dimensions}
    learned = {}
    if hasattr(transformer, "training_curve_"):
        learned["training.parquet"] = training_curve(transformer)
        log["epochs"] = int(transformer.best_epoch_)
    if space != "none":
        errors = reconstruction_errors(
            space, transformer, features, options, child_seed(seed, "embedding")
        )
        log |= {
            "width": min(options.width, *features.shape),
            "reconstruction_error": errors.chosen,
            "pca_error": errors.pca,
        }
    return Outcome(table, learned, log)


def training_curve(network: Autoencoder) -> pd.DataFrame:
    """Mean squared error by `epoch` in `training` and `validation`; epoch 0 is PCA."""
    curve = pd.DataFrame(network.training_curve_, columns=["training", "validation"])
    return curve.rename_axis("epoch").reset_index()
