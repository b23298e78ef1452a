"""The usual customer segmentation notebook as a script: what `resegment run` is timed against.

``python tests/benchmarks/notebook.py TABLE.csv OUTPUT_DIR`` saves the notebook's figures and prints
the seconds of each step as one JSON line. Where notebooks differ, the quicker habit is taken: one
K-means fit serves elbow and silhouette, figures have 72 dots per inch, Keras prints no progress.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler
from tensorflow import keras

ELBOW_KS = range(1, 20)
SILHOUETTE_KS = range(2, 13)
SEGMENTS = 7
STARTS = 10  # scikit-learn's default when such notebooks were written; since 1.4 it is 1
BINS = 50  # the most that seaborn's distplot drew; histplot alone would draw over a thousand
INLINE_DPI = 72  # of a figure shown in a notebook
ENCODER_UNITS = (7, 500, 500, 2000, 10)
DECODER_UNITS = (2000, 500)
EPOCHS = 25
BATCH = 128


@contextmanager
def timed(step: str, seconds: dict[str, float]) -> Iterator[None]:
    """Note in `seconds` how long the block took."""
    start = time.perf_counter()
    yield
    seconds[step] = round(time.perf_counter() - start, 3)


def read_filled(table: Path) -> pd.DataFrame:
    """Read the numeric columns, gaps filled with the column's mean."""
    customers = pd.read_csv(table).drop(columns="CUST_ID")
    return customers.fillna(customers.mean())


def save(figure: Figure, file: Path) -> None:
    """Write the picture and let the figure go."""
    figure.savefig(file, dpi=INLINE_DPI)
    plt.close(figure)


def draw_distributions(customers: pd.DataFrame) -> Figure:
    """Draw a histogram with its density curve for each column."""
    figure, axes = plt.subplots(customers.shape[1], figsize=(10, 50), layout="tight")
    for column, ax in zip(customers, axes, strict=True):
        sns.histplot(x=customers[column], bins=BINS, stat="density", kde=True, ax=ax)
    return figure


def draw_correlations(customers: pd.DataFrame) -> Figure:
    """Draw the correlation of each pair of columns, with the figure written in its cell."""
    figure, ax = plt.subplots(figsize=(20, 20))
    sns.heatmap(customers.corr(), annot=True, ax=ax)
    return figure


def fit_kmeans(X: np.ndarray, k: int) -> KMeans:
    """Fit K-means with k segments."""
    return KMeans(k, n_init=STARTS, random_state=0).fit(X)


def silhouettes(X: np.ndarray, fits: Mapping[int, KMeans], ks: Iterable[int]) -> dict[int, float]:
    """Measure the mean silhouette over all customers, for each k."""
    return {k: float(silhouette_score(X, fits[k].labels_)) for k in ks}


def draw_curve(by_k: Mapping[int, float], name: str) -> Figure:
    """Draw one figure per k."""
    figure, ax = plt.subplots()
    ax.plot(list(by_k), list(by_k.values()), "bx-")
    ax.set(xlabel="k", ylabel=name)
    return figure


def draw_elbow(fits: Mapping[int, KMeans]) -> Figure:
    """Draw the inertia of each fit."""
    return draw_curve({k: fit.inertia_ for k, fit in fits.items()}, "inertia")


def draw_profile(column: pd.Series, labels: np.ndarray) -> Figure:
    """Draw one column's histogram in each segment, side by side."""
    figure, axes = plt.subplots(1, SEGMENTS, figsize=(35, 5))
    for segment, ax in enumerate(axes):
        ax.hist(column[labels == segment], bins=20)
        ax.set_title(f"{column.name}\nsegment {segment}")
    return figure


def draw_components(X: np.ndarray, labels: np.ndarray) -> Figure:
    """Draw the customers on the first two principal components."""
    scores = PCA(n_components=2).fit_transform(X)  # (n_customers, 2)
    figure, ax = plt.subplots(figsize=(10, 10))
    palette = sns.color_palette(n_colors=SEGMENTS)
    sns.scatterplot(x=scores[:, 0], y=scores[:, 1], hue=labels, palette=palette, ax=ax)
    return figure


def stack_dense(inputs: keras.KerasTensor, units: Iterable[int]) -> keras.KerasTensor:
    """Stack one dense layer per number of units."""
    for n_units in units:
        layer = keras.layers.Dense(n_units, activation="relu", kernel_initializer="glorot_uniform")
        inputs = layer(inputs)
    return inputs


def encode(X: np.ndarray) -> np.ndarray:
    """Train the autoencoder and return the code of each customer, (n_customers, 10)."""
    inputs = keras.Input(shape=(X.shape[1],))
    code = stack_dense(inputs, ENCODER_UNITS)
    rebuilt = keras.layers.Dense(X.shape[1], kernel_initializer="glorot_uniform")(
        stack_dense(code, DECODER_UNITS)
    )
    autoencoder = keras.Model(inputs, rebuilt)
    autoencoder.compile(optimizer="adam", loss="mse")
    autoencoder.fit(X, X, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return keras.Model(inputs, code).predict(X, verbose=0)


def run_notebook(table: Path, output: Path) -> dict[str, float]:
    """Work through the notebook's cells and return the seconds of each step."""
    seconds: dict[str, float] = {}
    with timed("read", seconds):
        customers = read_filled(table)
    with timed("distributions", seconds):
        save(draw_distributions(customers), output / "distributions.png")
    with timed("correlations", seconds):
        save(draw_correlations(customers), output / "correlations.png")
    with timed("standardise", seconds):
        X = StandardScaler().fit_transform(customers)  # (n_customers, 17)
    with timed("elbow", seconds):
        fits = {k: fit_kmeans(X, k) for k in ELBOW_KS}
        save(draw_elbow(fits), output / "elbow.png")
    with timed("silhouettes", seconds):
        by_k = silhouettes(X, fits, SILHOUETTE_KS)
        save(draw_curve(by_k, "silhouette"), output / "silhouettes.png")
    with timed("segments", seconds):
        labels = fit_kmeans(X, SEGMENTS).labels_
    with timed("profiles", seconds):
        for name, column in customers.items():
            save(draw_profile(column, labels), output / f"profile_{name}.png")
    with timed("components", seconds):
        save(draw_components(X, labels), output / "components.png")
    with timed("autoencoder", seconds):
        Z = encode(X)  # (n_customers, 10)
    with timed("elbow of the code", seconds):
        save(draw_elbow({k: fit_kmeans(Z, k) for k in ELBOW_KS}), output / "elbow_code.png")
    return seconds


def main() -> None:
    """Run the notebook on the table named on the command line."""
    parser = argparse.ArgumentParser(description="The usual segmentation notebook, timed.")
    parser.add_argument("table", type=Path, help="CSV: CUST_ID and numeric columns")
    parser.add_argument("output", type=Path, help="folder for the figures")
    arguments = parser.parse_args()
    mpl.use("agg")
    arguments.output.mkdir(parents=True, exist_ok=True)
    print(json.dumps({"seconds": run_notebook(arguments.table, arguments.output)}))


if __name__ == "__main__":
    main()
