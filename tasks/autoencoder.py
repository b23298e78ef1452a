"""A scikit-learn transformer that rebuilds customers from a short code.

It trains with Keras (`tasks.network`), keeps plain weights, and computes with NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state, check_scalar, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from tasks.network import Weights, build_network, first_weights, in_float64, run_half, train

OnEpoch = Callable[[int, float, float], None]

TRUSTED_TYPES = ("tasks.autoencoder.Autoencoder",)  # what skops.io.loads must be told to trust

ROWS_AT_ONCE = 1024  # a block stays in the processor's cache; more at once is slower


class Autoencoder(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Rebuild each customer from a code of a few numbers per network.

    ``transform`` gives the rebuilt customers, not the code: any invertible change of the code
    rebuilds equally well, so distances within it are an accident of the random start.

    Parameters
    ----------
    width
        Numbers in one network's code, at most the number of features and of training rows.
    n_networks
        Networks whose outputs are averaged.
    hidden
        Units in the encoder's branch; the decoder's has them in reverse.
    epochs, patience
        Passes over the training rows; training ends after ``patience`` passes without a better
        validation loss. The best weights are kept in any case.
    validation_share
        Share of the rows that is held out.
    batch_size, learning_rate
        Of Adam; the rate decays to zero along a cosine.
    random_state
        Draws the held-out rows, the first weights and the order of rows. The same seed and rows
        give the same bits.

    Attributes
    ----------
    weights_
        Layer -> stacked kernel, and bias where there is one; float32.
    mean_, scale_
        Of the training rows, shape (n_features,): they make the standardised units.
    width_
        The width in use.
    training_curve_
        Mean squared error in standardised units, shape (epochs run + 1, 2): of the training rows
        while an epoch runs, of the held-out rows after it. Line 0 is the start, that is PCA.
    best_epoch_
        The line of ``training_curve_`` whose weights were kept; 0 if nothing was better than PCA.
    reconstruction_error_, pca_error_
        Mean squared error on the held-out rows in standardised units, of this and of PCA of the
        same width on the training rows. The first is slightly flattered: the same rows chose
        the epoch.
    """

    def __init__(
        self,
        width: int = 6,
        n_networks: int = 3,
        hidden: tuple[int, ...] = (64, 32),
        epochs: int = 40,
        patience: int = 10,
        validation_share: float = 0.1,
        batch_size: int = 256,
        learning_rate: float = 3e-3,
        random_state: int | None = 0,
    ) -> None:
        self.width = width
        self.n_networks = n_networks
        self.hidden = hidden
        self.epochs = epochs
        self.patience = patience
        self.validation_share = validation_share
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None, *, on_epoch: OnEpoch | None = None) -> Self:
        """Train on X, shape (n_customers, n_features), and keep the best epoch's weights.

        ``on_epoch(epoch, training_loss, validation_loss)`` is called after each epoch, from 1.
        """
        self._check_parameters()
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=3)
        training, held_out = train_test_split(
            X, test_size=self.validation_share, random_state=self.random_state
        )
        scaler = StandardScaler().fit(training)
        self.mean_, self.scale_ = scaler.mean_, scaler.scale_
        training, held_out = scaler.transform(training), scaler.transform(held_out)

        self.width_ = min(self.width, *training.shape)
        pca = PCA(self.width_, svd_solver="full").fit(training)
        self.pca_error_ = rebuild_error(pca, held_out)

        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31))
        self.weights_ = first_weights(pca.components_, self.hidden, rng.spawn(self.n_networks))
        start = (rebuild_error(pca, training), self.pca_error_)
        self.training_curve_ = self._train(start, training, held_out, rng, on_epoch)
        self.reconstruction_error_ = squared_error(held_out, self._rebuilt(held_out))
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Rebuild X, shape (n_customers, n_features), in its own units."""
        return self._rebuilt(self._standardised(X)) * self.scale_ + self.mean_

    def encode(self, X: ArrayLike) -> np.ndarray:
        """Return the codes, shape (n_customers, n_networks * width_), network after network."""
        codes = self._codes(self._standardised(X), in_float64(self.weights_))
        return np.concatenate([np.concatenate(block, axis=1) for block in codes])

    def _check_parameters(self) -> None:
        for name in ("width", "n_networks", "epochs", "patience", "batch_size"):
            check_scalar(getattr(self, name), name, Integral, min_val=1)
        for units in self.hidden:
            check_scalar(units, "hidden", Integral, min_val=1)
        open_ended = {"min_val": 0, "include_boundaries": "neither"}
        check_scalar(self.learning_rate, "learning_rate", Real, **open_ended)
        check_scalar(self.validation_share, "validation_share", Real, max_val=1, **open_ended)

    def _train(
        self,
        start: tuple[float, float],
        training: np.ndarray,
        held_out: np.ndarray,
        rng: np.random.Generator,
        on_epoch: OnEpoch | None,
    ) -> np.ndarray:
        """Train on from ``weights_``, whose losses are ``start``; return the curve."""
        curve, self.best_epoch_ = [start], 0
        network = build_network(self.weights_)
        losses = train(
            network, training, held_out, self.epochs, self.batch_size, self.learning_rate, rng
        )
        for epoch, (training_loss, validation_loss) in enumerate(losses, start=1):
            curve.append((training_loss, validation_loss))
            if validation_loss < curve[self.best_epoch_][1]:
                self.best_epoch_ = epoch
                self.weights_ = {
                    name: [variable.numpy() for variable in layer]
                    for name, layer in network.stacked.items()
                }
            if on_epoch is not None:
                on_epoch(epoch, training_loss, validation_loss)
            if epoch - self.best_epoch_ >= self.patience:
                break
        return np.array(curve)

    def _standardised(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return (X - self.mean_) / self.scale_

    def _codes(self, standardised: np.ndarray, weights: Weights) -> Iterator[np.ndarray]:
        """Yield the codes of a block of rows at a time, shape (n_networks, n_rows, width_)."""
        for rows in gen_batches(len(standardised), ROWS_AT_ONCE):
            yield run_half("encoder", standardised[rows], weights)

    def _rebuilt(self, standardised: np.ndarray) -> np.ndarray:
        weights = in_float64(self.weights_)
        return np.concatenate(
            [
                run_half("decoder", codes, weights).mean(axis=0)
                for codes in self._codes(standardised, weights)
            ]
        )


def squared_error(X: np.ndarray, rebuilt: np.ndarray) -> float:
    """Return the mean squared error over all cells."""
    return float(np.mean(np.square(X - rebuilt)))


def rebuild_error(transformer: TransformerMixin, X: np.ndarray) -> float:
    """Return what is lost on the way into the transformer's space and back."""
    return squared_error(X, transformer.inverse_transform(transformer.transform(X)))
