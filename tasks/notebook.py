"""The usual segmentation notebook, rerun as it is and measured beside the monthly preset.

Means in the gaps, z-scores of every number, elbow and silhouette curves, K-means with seven
segments, a map of two principal components, and an autoencoder. The yardsticks, the reference
space and the rule for k are the monthly preset's, so that the two can be compared.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from expectations.contract import Contract
from expectations.rules import LEAST_FEATURES
from tasks.audit import Audit, Candidate, audit_sample, audited, possible_ks, reference_of
from tasks.candidates import (
    PLAIN,
    Progress,
    Told,
    confidence_curve,
    lines_of,
    select_segments,
    table_of,
)
from tasks.embedding import EmbeddingOptions, fit_space
from tasks.kmeans import by_falling_size, published_kmeans
from tasks.notebook_network import (
    AS_USUAL,
    NETWORK,
    Design,
    curves_of,
    density_cells,
    network_candidate,
    verdict_on,
)
from tasks.outcome import Outcome
from tasks.plain_rule import PlainRuleOptions
from tasks.scaling import (
    ScalingOptions,
    left_out_in_words,
    scale_customers,
    scaled_by,
    scaler_of,
)
from tasks.selection import Choice, SelectionOptions, choose_k, elbow
from tasks.yardsticks import NAN, agreement

NOTEBOOK = "notebook"
SEGMENTS = 7
NETWORK_RESAMPLES = 3  # each trains the large network anew
MONTHLY_STEPS = 4  # of the monthly preset, beside a step per k
NO_NULL = pd.DataFrame({"k": []})


def scale_as_notebook(clean: pd.DataFrame, contract: Contract) -> Outcome:
    """Standardise every number of the contract as it is: no filter, no logarithm.

    Parameters
    ----------
    clean : DataFrame
        One row per customer, no gaps in numbers.
    contract : Contract
        Names the numbers, in order.

    Returns
    -------
    Outcome
        As `tasks.scaling.scale_customers`.
    """
    features = list(contract.numeric)
    log = {"features": features, "dropped": []}
    return scaled_by(scaler_of(features, [], "mean"), clean, contract.id.column, log)


def select_as_notebook(
    scaled: pd.DataFrame,
    clean: pd.DataFrame,
    contract: Contract,
    options: SelectionOptions,
    embedding: EmbeddingOptions,
    plain_rule: PlainRuleOptions,
    seed: int,
    on_progress: Progress | None = None,
    design: Design = AS_USUAL,
    network_resamples: int = NETWORK_RESAMPLES,
) -> Outcome:
    """Take seven segments, and measure them beside the monthly preset's candidates.

    Parameters
    ----------
    scaled : DataFrame
        The id and the notebook's features, (n_customers, 1 + n_numeric).
    clean, contract, options, embedding, plain_rule, seed, on_progress
        As for `tasks.candidates.select_segments`; the number of segments and the space are not
        asked for.
    design, network_resamples : Design, int
        The autoencoder, and on how many resamples it is trained anew.

    Returns
    -------
    Outcome
        As of `select_segments`. `table` has the monthly preset's lines, and those of the
        notebook; all are measured in the monthly preset's scaled features (where its filters
        leave none, in the notebook's own). `learned` also has the notebook's curves and its
        map, `log` what the monthly preset would choose; `plain_rule` judges the latter.
    """
    X = scaled.drop(columns=contract.id.column).to_numpy()  # (n_customers, n_numeric)
    ks = possible_ks(SEGMENTS, len(X))
    told = Told(on_progress, 2 * len(ks) + MONTHLY_STEPS + 1 + network_resamples)
    monthly = measure_monthly(X, clean, contract, options, plain_rule, seed, told)
    rows = audit_sample(monthly.X, options.audit_rows, seed)
    reference = reference_of(monthly.X, clean, contract, rows, seed)
    audit = Audit(reference, X[rows], embedding, seed, NOTEBOOK)
    seven = options.model_copy(update={"segments": SEGMENTS})
    found = audit.curve(ks, audited(ks, seven), options.resamples, told.after)
    network = network_candidate(audit, SEGMENTS, design, network_resamples, told.after)
    by_rule = choose_k(lines_of(found.values()), options)
    curves = curves_of({PLAIN: [*found.values()], NETWORK: [network]}, seed)
    learned = {
        "embedding.skops": fit_space(PLAIN, audit.X, embedding, seed),
        "confidence.parquet": confidence_curve(found[SEGMENTS]),
        "notebook_curves.parquet": curves,
        "notebook_map.parquet": density_cells(X, published_labels(X, seed)),
    }
    log = {
        **log_of(found[SEGMENTS], by_rule),
        "elbow": elbow(curves[curves["space"] == PLAIN]),
        "audited": len(rows),
        "plain_rule": monthly.log.get("plain_rule"),
        "monthly": {name: monthly.log[name] for name in ("k", "why")},
    }
    table = side_by_side(monthly.table, found, network, by_rule, audit)
    told.all()
    return Outcome(table, learned, log)


class Monthly(NamedTuple):
    """The monthly preset's candidates, and the reference space, (n_customers, n_features)."""

    X: np.ndarray
    table: pd.DataFrame
    log: Mapping[str, Any]


def measure_monthly(
    X: np.ndarray,
    clean: pd.DataFrame,
    contract: Contract,
    options: SelectionOptions,
    plain_rule: PlainRuleOptions,
    seed: int,
    told: Told,
) -> Monthly:
    """What the monthly preset makes of the same customers; of plain scaling, since so is X.

    Where its filters leave nothing there is nothing to measure in, and X is the reference space.
    """
    scaled, _, log = scale_customers(clean, contract, ScalingOptions())
    few = {"k": None, "why": f"no stable segmentation: {left_out_in_words(log['dropped'])}"}
    if not log["features"]:
        return Monthly(X, pd.DataFrame(), few)
    found = select_segments(
        scaled,
        clean,
        contract,
        options.model_copy(update={"segments": 0}),
        EmbeddingOptions(embedding="none"),
        plain_rule,
        seed,
        on_progress=lambda *_: told.after(),
    )
    features = scaled.drop(columns=contract.id.column).to_numpy()
    enough = len(log["features"]) >= LEAST_FEATURES
    return Monthly(features, found.table, found.log if enough else few)


def log_of(chosen: Candidate, by_rule: Choice) -> dict[str, Any]:
    """What the later steps and the report ask of a selection."""
    return {
        "k": SEGMENTS,
        "why": why_seven(by_rule),
        "pinned": True,
        "space": PLAIN,
        "why_space": f"{PLAIN}: the usual notebook clusters the z-scores as they are",
        "metrics": chosen.line,
    }


def why_seven(by_rule: Choice) -> str:
    """The notebook's number in words, and what the rule for k says of it."""
    usual, says = f"{SEGMENTS}: as the usual notebook does", by_rule.verdicts[SEGMENTS]
    if by_rule.chosen == SEGMENTS:
        return f"{usual}; the rule agrees: {says}"
    if by_rule.chosen is None or by_rule.chosen < SEGMENTS:
        return f"{usual}; the rule refuses it: {says}"
    return f"{usual}; the rule would choose {by_rule.chosen}, and says of {SEGMENTS}: {says}"


def side_by_side(
    monthly: pd.DataFrame,
    found: Mapping[int, Candidate],
    network: Candidate,
    by_rule: Choice,
    audit: Audit,
) -> pd.DataFrame:
    """Both presets' lines, each saying how far it agrees with the notebook's segments.

    The plain rule's agreement stays open: it has no fit to be repeated.
    """
    chosen = found[SEGMENTS]
    verdicts = {(NOTEBOOK, k): words for k, words in by_rule.verdicts.items()}
    verdicts[NETWORK, SEGMENTS] = verdict_on(network)
    notebook = table_of([*found.values(), network], NO_NULL, verdicts, chosen)
    if monthly.empty:
        return notebook
    home = replace(audit, X=audit.reference.X)
    agrees = [
        agreement(home.fit(k).labels, chosen.partition.labels) if space == PLAIN else NAN
        for space, k in zip(monthly["space"], monthly["k"], strict=True)
    ]
    return pd.concat([monthly.assign(agreement=agrees, chosen=False), notebook], ignore_index=True)


def published_labels(X: np.ndarray, seed: int) -> np.ndarray:
    """The segments that K-means gives the run, (n_customers,), the largest being 0."""
    return by_falling_size(published_kmeans(X, SEGMENTS, seed, PLAIN), X).predict(X)
