"""Two answers to "would this customer use the product?", measured out of fold side by side.

Boosted trees, and the share of users in the customer's segment when the segmentation does not see
the product either: a recommendation is worth its trees only where it beats that.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from tasks.kmeans import fit_kmeans

FOLDS = 5
FIT_ROWS = 20_000  # half of them users; from more the trees learn little more
TREES = 100
STARTS = 10  # of K-means


def compare(X: np.ndarray, uses: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, float, float]:
    """Scores of boosted trees, their AUC, and that of the segment's penetration, out of fold.

    X has a row per customer, (n_customers, n_columns), and may have gaps: they lie at the mean.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    Z = np.nan_to_num(StandardScaler().fit_transform(X))  # (n_customers, n_columns)
    fold = _folds(uses, seed)
    by_trees = tree_scores(Z, uses, fold, seed)
    by_segment = penetration_scores(segments_of(Z, k, seed), uses, fold)
    auc, baseline = (float(roc_auc_score(uses, score)) for score in (by_trees, by_segment))
    return by_trees, auc, baseline


def _folds(uses: np.ndarray, seed: int) -> np.ndarray:
    """In which fold each customer is judged, (n_customers,), as many users in each."""
    from sklearn.model_selection import StratifiedKFold

    fold = np.zeros(len(uses), dtype=int)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for number, (_, judged) in enumerate(splitter.split(uses, uses)):
        fold[judged] = number
    return fold


def tree_scores(Z: np.ndarray, uses: np.ndarray, fold: np.ndarray, seed: int) -> np.ndarray:
    """How much each customer looks like a user to trees that learned from other folds.

    They learn from at most half `FIT_ROWS` users and as many others; only the order of the
    scores counts, so it does not matter that users are rarer than that.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(seed)
    sampled = np.zeros(len(uses), dtype=bool)
    for kind in (np.flatnonzero(uses), np.flatnonzero(~uses)):
        sampled[rng.permutation(kind)[: FIT_ROWS // 2]] = True
    scores = np.zeros(len(uses))
    with threadpool_limits(1):  # a second core gains nothing here, and waits where it is busy
        for number in range(FOLDS):
            learned, judged = sampled & (fold != number), fold == number
            trees = HistGradientBoostingClassifier(
                max_iter=TREES, early_stopping=False, random_state=seed
            ).fit(Z[learned], uses[learned])
            scores[judged] = trees.decision_function(Z[judged])
    return scores


def segments_of(Z: np.ndarray, k: int, seed: int) -> np.ndarray:
    """K-means segments of Z, (n_customers, n_columns), no more than there are distinct rows."""
    distinct = len(np.unique(Z[:FIT_ROWS], axis=0))
    return fit_kmeans(Z, min(k, distinct), seed, STARTS).predict(Z)


def penetration_scores(labels: np.ndarray, uses: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Share of users in each customer's segment, counted in the other folds, (n_customers,)."""
    scores = np.zeros(len(uses))
    for number in range(FOLDS):
        learned, judged = fold != number, fold == number
        size, users = (
            np.bincount(labels[learned], weights, minlength=labels.max() + 1)
            for weights in (None, uses[learned])
        )
        scores[judged] = (users / np.maximum(size, 1))[labels[judged]]
    return scores
