"""Customers in segments that are known, because they were planted."""

import numpy as np
import pandas as pd

ID = "customer"


def planted_segments(
    *sizes: int, spread: float = 0.6, seed: int = 0
) -> tuple[pd.DataFrame, np.ndarray]:
    """Up to eight segments of these sizes around the corners of a cube, in mixed order.

    Returns the `scaled` table (the id and four features, the last of them noise) and the planted
    segment of every row. The corners lie ten `spread` and more apart.
    """
    rng = np.random.default_rng(seed)
    corners = 3.0 * np.array([[i >> 2 & 1, i >> 1 & 1, i & 1, 0.5] for i in range(8)]) * 2 - 3
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = corners[truth] + rng.normal(0, spread, (len(truth), 4))
    scaled = pd.DataFrame(X, columns=["a", "b", "c", "noise"])
    scaled.insert(0, ID, [f"K{row:05d}" for row in range(len(scaled))])
    return scaled, truth
