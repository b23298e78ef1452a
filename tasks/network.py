"""Networks that rebuild customers: their first weights, their way of computing, their training.

Encoder and decoder each add a small relu branch to a linear layer. The linear layers start as
PCA and the branches at zero, so training begins at PCA and learns what PCA cannot say. Several
networks are trained side by side, as one Keras model whose weights have a leading network axis;
a customer is rebuilt as the mean of what they say.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tensorflow import Tensor, keras

Weights = dict[str, list[np.ndarray]]  # layer -> kernel (n_networks, n_in, n_out), bias if any

COMPILING_PAYS = 20  # compiling an epoch takes as long as so many steps do without


def first_weights(
    components: np.ndarray, hidden: tuple[int, ...], rngs: list[np.random.Generator]
) -> Weights:
    """Lay out networks that compute PCA, one per generator.

    ``components`` are PCA's, shape (width, n_features). Branches get Glorot and Bengio's (2010)
    uniform weights, their last layer zeros.
    """

    def glorot(n_in: int, n_out: int) -> np.ndarray:
        limit = np.sqrt(6 / (n_in + n_out))
        return np.stack([rng.uniform(-limit, limit, (n_in, n_out)) for rng in rngs])

    def zeros(n_in: int, n_out: int) -> np.ndarray:
        return np.zeros((len(rngs), n_in, n_out))

    weights = {}
    for half, linear, units in (
        ("encoder", components.T, hidden),
        ("decoder", components, hidden[::-1]),
    ):
        sizes = (linear.shape[0], *units)
        weights[f"{half}_linear"] = [np.stack([linear] * len(rngs))]
        for number, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
            weights[f"{half}_{number}"] = [glorot(n_in, n_out), zeros(1, n_out)]
        n_out = linear.shape[1]
        weights[f"{half}_last"] = [zeros(sizes[-1], n_out), zeros(1, n_out)]
    return {name: [array.astype(np.float32) for array in layer] for name, layer in weights.items()}


def in_float64(weights: Weights) -> Weights:
    """Widen the weights: a product of mixed float types misses BLAS and takes 7 times as long."""
    return {name: [array.astype(np.float64) for array in layer] for name, layer in weights.items()}


def run_half(
    half: str, X: np.ndarray | Tensor, weights: Weights, maximum: Callable = np.maximum
) -> np.ndarray | Tensor:
    """Compute the encoder or the decoder of every network, by NumPy or by TensorFlow.

    From shape (n_rows, n_in), or (n_networks, n_rows, n_in), to (n_networks, n_rows, n_out).
    """
    layers = (layer for name, layer in weights.items() if name.startswith(half))
    (linear,), *branch, (last, offset) = layers
    activated = X
    for kernel, bias in branch:
        activated = maximum(activated @ kernel + bias, 0.0)
    return X @ linear + (activated @ last + offset)


def import_tensorflow() -> Any:
    """Import TensorFlow in silence.

    It writes to the process's standard error before it reads any setting, so that is shut
    meanwhile; what goes wrong is raised as ever. Its logging keeps the stream that it finds and
    closes it in the end, so it finds the process's own.
    """
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    shown = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with redirect_stderr(sys.__stderr__):
            import tensorflow as tf

            tf.config.list_physical_devices()
    finally:
        os.dup2(shown, 2)
        os.close(shown)
        os.close(nowhere)
    return tf


def build_network(weights: Weights) -> keras.Model:
    """Make one Keras model, from rows to every network's codes and rebuilt rows.

    ``stacked`` holds the weights by layer, as Keras variables.
    """
    tf = import_tensorflow()
    from tensorflow import keras

    class Networks(keras.Model):
        def __init__(self) -> None:
            super().__init__(dtype="float32")
            self.stacked = {
                name: [keras.Variable(array, dtype="float32") for array in layer]
                for name, layer in weights.items()
            }

        def call(self, X: Tensor) -> tuple[Tensor, Tensor]:
            codes = run_half("encoder", X, self.stacked, tf.maximum)
            return codes, run_half("decoder", codes, self.stacked, tf.maximum)

    return Networks()


def train(
    network: keras.Model,
    training: np.ndarray,
    held_out: np.ndarray,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
) -> Iterator[tuple[float, float]]:
    """Train the network and yield, epoch after epoch, training and validation loss.

    Each network learns from its own error; the losses told are those of their mean.
    """
    tf = import_tensorflow()
    from tensorflow import keras

    batch_size = min(batch_size, len(training))
    n_steps = len(training) // batch_size  # an epoch leaves out what does not fill a batch
    decay = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * n_steps)
    optimizer = keras.optimizers.Adam(decay)
    optimizer.build(network.trainable_variables)
    training, held_out = tf.constant(training, tf.float32), tf.constant(held_out, tf.float32)

    def loss_of_mean(X: Tensor, rebuilt: Tensor) -> Tensor:
        return tf.reduce_mean(tf.square(tf.reduce_mean(rebuilt, axis=0) - X))

    def run_epoch(batches: Tensor) -> tuple[Tensor, Tensor]:
        training_loss = 0.0
        for batch in batches:
            X = tf.gather(training, batch)
            with tf.GradientTape() as tape:
                _, rebuilt = network(X)  # (n_networks, batch_size, n_features)
                # Summed over the networks, so that none learns slower for having neighbours.
                loss = tf.reduce_sum(tf.reduce_mean(tf.square(rebuilt - X), axis=(1, 2)))
            gradients = tape.gradient(loss, network.trainable_variables)
            optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
            training_loss += loss_of_mean(X, rebuilt) / n_steps
        return training_loss, loss_of_mean(held_out, network(held_out)[1])

    if epochs * n_steps > COMPILING_PAYS:
        run_epoch = tf.function(run_epoch)
    for _ in range(epochs):
        order = rng.permutation(len(training))[: n_steps * batch_size]
        training_loss, validation_loss = run_epoch(tf.constant(order.reshape(n_steps, -1)))
        yield float(training_loss), float(validation_loss)
