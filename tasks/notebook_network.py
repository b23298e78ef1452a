"""What the usual notebook makes besides K-means: its autoencoder, its curves, its map.

The autoencoder is kept as the notebook has it, dense relu layers from random weights and K-means
on the code, where `tasks.network` starts at PCA.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from tasks.audit import Audit, Candidate
from tasks.kmeans import one_core_each, published_kmeans
from tasks.network import import_tensorflow
from tasks.seeds import child_seed
from tasks.selection import CURVE
from tasks.stability import Stability, refit_kmeans, resample
from tasks.yardsticks import NAN, Partition, distance_matrix, inertia_of, silhouette

if TYPE_CHECKING:
    from tensorflow import keras

NETWORK = "notebook autoencoder"
ROWS_AT_ONCE = 1024
ELBOW_KS = range(1, 20)
CELLS = 5  # of the map, to a standard deviation of its first component
MIN_CELL = 5

Encode = Callable[[np.ndarray], np.ndarray]


class Design(NamedTuple):
    """Units of the layers between input and output, the last of the encoder's being the code."""

    encoder: tuple[int, ...] = (7, 500, 500, 2000, 10)
    decoder: tuple[int, ...] = (2000, 500)
    epochs: int = 25
    batch_size: int = 128


AS_USUAL = Design()


def network_candidate(
    audit: Audit, k: int, design: Design, resamples: int, on_network: Callable[[Any], Any]
) -> Candidate:
    """Fit and measure K-means on the code; each resample trains the network anew."""
    X = audit.X  # (n_customers, n_features)

    def code_of(drawn: np.ndarray, *name: str | int) -> np.ndarray:
        standard = StandardScaler().fit(X[drawn]).transform(X)
        seed = child_seed(audit.seed, NETWORK, *name)
        return on_network(train_encoder(standard[drawn], design, seed)(standard))

    def refit(drawn: np.ndarray, number: int) -> np.ndarray:
        Z = code_of(drawn, "resample", number)  # (n_customers, n_code)
        return refit_kmeans(Z, drawn, k, child_seed(audit.seed, NETWORK, "kmeans", number))

    Z = code_of(np.arange(len(X)), "all")
    labels = published_kmeans(Z, k, audit.seed, NETWORK).predict(Z)
    told = Stability(resample(refit, labels, k, audit.seed, range(resamples)), resamples)
    fitted = Partition(labels, k, Z, told)
    return Candidate(NETWORK, k, fitted, audit.line(fitted, NETWORK))


def train_encoder(X: np.ndarray, design: Design, random_state: int) -> Encode:
    """Train the network to rebuild X, (n_customers, n_features); give the way to its code.

    The order of customers is drawn here and not by Keras, whose draws hang on a state that the
    whole process shares: the same seed and customers give the same bits.
    """
    rng = np.random.default_rng(random_state)
    network, encoder = build_network(X.shape[1], design, rng)
    X = X.astype(np.float32)
    for _ in range(design.epochs):
        shuffled = X[rng.permutation(len(X))]
        network.fit(
            shuffled, shuffled, batch_size=design.batch_size, epochs=1, shuffle=False, verbose=0
        )

    def encode(standard: np.ndarray) -> np.ndarray:
        code = encoder.predict(standard.astype(np.float32), batch_size=ROWS_AT_ONCE, verbose=0)
        return np.asarray(code, dtype=np.float64)

    return encode


def build_network(
    n_features: int, design: Design, rng: np.random.Generator
) -> "tuple[keras.Model, keras.Model]":
    """The untrained network, and its part up to the code."""
    import_tensorflow()
    from tensorflow import keras

    def dense(units: int, activation: str | None = "relu") -> "keras.layers.Dense":
        first = keras.initializers.GlorotUniform(seed=int(rng.integers(2**31)))
        return keras.layers.Dense(units, activation=activation, kernel_initializer=first)

    encoder = keras.Sequential([keras.Input((n_features,)), *map(dense, design.encoder)])
    decoder = [*map(dense, design.decoder), dense(n_features, None)]
    network = keras.Sequential([encoder, *decoder])
    network.compile(optimizer="adam", loss="mse", jit_compile=False)
    return network, encoder


def verdict_on(network: Candidate) -> str:
    """How often its segments were found again, in words."""
    told = network.partition.told
    return (
        f"its weakest segment was found again in {told.found.min()} of {len(told.resamples)} "
        "resamples, each with the network trained anew"
    )


def curves_of(spaces: Mapping[str, Sequence[Candidate]], seed: int) -> pd.DataFrame:
    """Inertia and silhouette by `space` and `k`, each space measured in itself.

    `spaces` has of each space what was fitted there already. The silhouette is NaN outside 2 to
    12, where the notebook takes none.
    """
    parts = []
    for space, fitted in spaces.items():
        Z = np.asarray(fitted[0].partition.Z)  # (n_customers, n_dimensions)
        known = {one.k: one.partition.labels for one in fitted}
        others = [k for k in ELBOW_KS if k not in known and k < len(Z)]
        labels = known | fit_all(Z, others, seed, space)
        parts.append(curve_of(Z, labels).assign(space=space))
    return pd.concat(parts, ignore_index=True)


def fit_all(Z: np.ndarray, ks: Iterable[int], seed: int, space: str) -> dict[int, np.ndarray]:
    """Segments of Z, (n_customers, n_dimensions), for each k."""

    def fit(k: int) -> tuple[int, np.ndarray]:
        return k, published_kmeans(Z, k, seed, space).predict(Z)

    with one_core_each() as pool:
        return dict(pool.map(fit, ks))


def curve_of(Z: np.ndarray, labels: Mapping[int, np.ndarray]) -> pd.DataFrame:
    """Inertia and silhouette in Z, (n_customers, n_dimensions), by `k`."""
    distances = distance_matrix(Z)
    return pd.DataFrame(
        {
            "k": k,
            "inertia": inertia_of(Z, labels[k]),
            "silhouette": silhouette(distances, labels[k]) if k in CURVE else NAN,
        }
        for k in sorted(labels)
    )


def density_cells(X: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Each segment's customers in square cells of the first two principal components.

    Parameters
    ----------
    X, labels : ndarray, (n_customers, n_features), (n_customers,)
        The z-scores, and the segment of each customer, the largest being 0.

    Returns
    -------
    DataFrame
        One line per `segment` (from 1) and cell of at least `MIN_CELL` customers: its lower left
        corner `x, y`, its `width`, its `customers`, and the components' share of variance,
        `explained_x, explained_y`. One line more per segment has no corner, and the customers
        who are in no such cell, where they are not too few to be told.
    """
    pca = PCA(2, svd_solver="full").fit(X)
    scores = pca.transform(X)  # (n_customers, 2)
    width = scores[:, 0].std() / CELLS or 1.0
    corners = pd.DataFrame(np.floor(scores / width) * width, columns=["x", "y"])
    placed = corners.assign(segment=labels + 1).groupby(["segment", "x", "y"]).size()
    cells = placed[placed >= MIN_CELL].rename("customers").reset_index()
    sizes = placed.groupby("segment").sum()
    off = sizes.sub(cells.groupby("segment")["customers"].sum(), fill_value=0)
    others = off.where((off == 0) | (off >= MIN_CELL)).rename("customers").reset_index()
    explained_x, explained_y = pca.explained_variance_ratio_
    return pd.concat([cells, others], ignore_index=True).assign(
        width=width, explained_x=explained_x, explained_y=explained_y
    )
