"""The champion meets this month: the published model assigns, and nothing is fitted."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from expectations.contract import Contract
from tasks.audit import Audit, Candidate, audit_sample, metrics_of, reference_of
from tasks.embedding import EmbeddingOptions, embed
from tasks.model import SegmentModel
from tasks.outcome import Outcome
from tasks.seeds import child_seed
from tasks.selection import SelectionOptions
from tasks.yardsticks import Partition, eta_squared, measure

CHAMPION = "champion"
AS_FITTED = ("survival", "resamples", "bootstrap_ari", "worst_jaccard")
MIN_LEAD = 0.03  # in eta squared: so much more a challenger must explain to be recommended
DRAWS = 40  # of customers, for the lead's standard error


class Lead(NamedTuple):
    """How much more of the columns' variance the challenger explains, and its standard error."""

    lead: float
    error: float

    @property
    def is_clear(self) -> bool:
        """Whether the lead is worth a refit."""
        return self.lead > max(MIN_LEAD, 2 * self.error)


def scale_by_champion(clean: pd.DataFrame, id_column: str, champion: SegmentModel) -> Outcome:
    """The champion's features of this month's customers, in the champion's units."""
    X = champion[:3].transform(clean)  # (n_customers, n_features)
    ids = clean[[id_column]].reset_index(drop=True)
    scaled = pd.concat([ids, pd.DataFrame(X, columns=champion.features)], axis=1)
    return Outcome(scaled, log={"features": champion.features, "dropped": []})


def embed_by_champion(clean: pd.DataFrame, id_column: str, champion: SegmentModel) -> Outcome:
    """Customers in the champion's space."""
    Z = np.asarray(champion[:-1].transform(clean), float)  # (n_customers, n_dimensions)
    dimensions = list(map(str, champion[3].get_feature_names_out(champion.features)))
    ids = clean[[id_column]].reset_index(drop=True)
    table = pd.concat([ids, pd.DataFrame(Z, columns=dimensions)], axis=1)
    return Outcome(table, log={"dimensions": dimensions})


def measure_champion(
    scaled: pd.DataFrame,
    clean: pd.DataFrame,
    contract: Contract,
    options: SelectionOptions,
    seed: int,
    champion: SegmentModel,
    as_fitted: Mapping[str, Any],
) -> Outcome:
    """The selection of a month without a fit: one line, the champion's.

    Parameters
    ----------
    scaled, clean : DataFrame
        The same customers in the same order: the champion's features, the contract's columns.
    contract : Contract
        Names the columns to be explained.
    options : SelectionOptions
        How many customers are measured.
    seed : int
        The run's seed.
    champion : SegmentModel
        The published model.
    as_fitted : mapping
        What its own resamples said when it was fitted, and its `space`.

    Returns
    -------
    Outcome
        `table` is the selection stage; its stability is that of the fit, all other figures are
        this month's.
    """
    X = scaled.drop(columns=contract.id.column).to_numpy()  # (n_customers, n_features)
    rows = audit_sample(X, options.audit_rows, seed)
    reference = reference_of(X, clean, contract, rows, seed)
    audit = Audit(reference, X[rows], EmbeddingOptions(), seed)
    one = champion_candidate(audit, clean.iloc[rows], champion, as_fitted)
    line = {**one.line, "space": as_fitted["space"]}
    says = "the published model assigns; nothing is fitted this month"
    nothing = {"inertia_null": np.nan, "silhouette_null": np.nan}
    told = {"agreement": 1.0, "verdict": says, "chosen": True}
    table = pd.DataFrame([{**line, **nothing, **told}])
    log = {
        "k": one.k,
        "space": as_fitted["space"],
        "why": f"{one.k}: {says}",
        "why_space": f"{as_fitted['space']}: the published model's",
        "pinned": False,
        "elbow": None,
        "audited": len(rows),
        "metrics": metrics_of(one),
        "champion": {"metrics": metrics_of(one)},
        "plain_rule": None,
    }
    return Outcome(table, log=log)


def champion_candidate(
    audit: Audit, clean: pd.DataFrame, champion: SegmentModel, as_fitted: Mapping[str, Any]
) -> Candidate:
    """The champion's line among the candidates, on the audit's customers (`clean`)."""
    Z = embed(champion[:-1], clean)
    k = champion[-1].n_clusters
    partition = Partition(champion.assign_at(Z).segment, k, Z)
    known = {name: _figure(as_fitted.get(name)) for name in AS_FITTED}
    line = {"space": CHAMPION, "k": k, **measure(audit.reference, partition), **known}
    return Candidate(CHAMPION, k, partition, line)


def explained_lead(
    columns: np.ndarray, champion: np.ndarray, challenger: np.ndarray, seed: int
) -> Lead:
    """How much more the challenger explains, with a bootstrap over customers (Efron 1979).

    Parameters
    ----------
    columns : ndarray, (n_customers, n_numeric)
        What is to be explained.
    champion, challenger : ndarray of int, (n_customers,)
        Positions of the two models' segments.
    seed : int
        Draws the customers.
    """

    def lead(rows: np.ndarray) -> float:
        explained = (eta_squared(columns[rows], one[rows]).mean() for one in (challenger, champion))
        return float(next(explained) - next(explained))

    n_customers = len(columns)
    rng = np.random.default_rng(child_seed(seed, "lead"))
    drawn = [lead(rng.integers(0, n_customers, n_customers)) for _ in range(DRAWS)]
    return Lead(lead(np.arange(n_customers)), float(np.std(drawn, ddof=1)))


def _figure(value: Any) -> float:
    return float("nan") if value is None else float(value)
